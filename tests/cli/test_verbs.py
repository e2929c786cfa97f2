"""Each verb calls one public function with what was typed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nnunet_prompt.cli import main as cli
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.options import EvaluateOptions, FolderOptions
from nnunet_prompt.training import external_trainers as extension
from tests.helpers.each import each


def run(line: str) -> int:
    return cli.main(line.split())


def test_env_can_be_evaluated(capsys: pytest.CaptureFixture[str]) -> None:
    os.environ["nnUNet_extTrainer"] = "/my trainers"
    assert run("env") == 0
    both = f"{extension.trainers_dir()}{os.pathsep}/my trainers"
    assert capsys.readouterr().out == f"export nnUNet_extTrainer='{both}'\n"


def test_trainers_dir(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("trainers-dir") == 0
    assert capsys.readouterr().out == f"{extension.trainers_dir()}\n"


def _evaluation() -> dict[str, Any]:
    keys = ("label_files", "scored", "missing", "unmatched", "failed")
    rules = {"missing": "error", "empty": "so", "names": None, "ignore_label": None}
    counts = dict.fromkeys(keys, 0)
    return {"cases": {}, "mean": {}, "structures": {}, "counts": counts, "rules": rules}


def test_evaluate(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    call = fake("nnunet_prompt.evaluation.folders.evaluate_folders", _evaluation())
    assert run("evaluate labels masks -o metrics.json") == 0
    call.assert_called_once_with(
        Path("labels"),
        Path("masks"),
        Path("metrics.json"),
        folder_options=FolderOptions(),
        options=EvaluateOptions(),
    )
    told = "--missing skip --extra skip --names 1=LV --values 1,2"
    assert run(f"evaluate labels masks -o metrics.json {told}") == 0
    assert call.call_args.kwargs == {
        "folder_options": FolderOptions((1, 2), "1=LV", "skip", "skip"),
        "options": EvaluateOptions(),
    }
    told = (
        "--tolerances 2,4 --unions a=1+2 --lesions 1,a --lesion-iou 0.5 --groups g.csv --csv t.csv"
    )
    assert run(f"evaluate labels masks -o metrics.json --processes 2 {told}") == 0
    assert call.call_args.kwargs["folder_options"] == FolderOptions(num_processes=2)
    assert call.call_args.kwargs["options"] == EvaluateOptions(
        (2.0, 4.0), {"a": (1, 2)}, [1, "a"], 0.5, groups="g.csv", csv=Path("t.csv")
    )
    assert capsys.readouterr().out.endswith("wrote metrics.json and t.csv\n")


def test_evaluate_fails_where_a_case_could_not_be_scored(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    results = _evaluation() | {"failed": {"heart_03": "why"}}
    fake("nnunet_prompt.evaluation.folders.evaluate_folders", results)
    assert run("evaluate labels masks -o metrics.json") == 1
    assert capsys.readouterr().out.endswith("wrote metrics.json; 1 case not scored\n")


def test_predict_defaults(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from nnunet_prompt.inference.options import PredictOptions
    from nnunet_prompt.inference.predict_folder import Predicted
    from nnunet_prompt.inference.run_options import RunOptions

    call = fake("nnunet_prompt.inference.predict_folder.predict_folder", Predicted(1))
    assert run("predict -i images -o out -m model") == 0
    call.assert_called_once_with(
        Path("images"),
        Path("out"),
        model=Path("model"),
        prompts=None,
        structures=(),
        refine=None,
        options=PredictOptions(),
        run_options=RunOptions(),
    )
    assert capsys.readouterr().out == "wrote 1 mask to out\n"


def test_predict_with_everything(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from nnunet_prompt.inference.options import PredictOptions
    from nnunet_prompt.inference.predict_folder import Predicted
    from nnunet_prompt.inference.run_options import RunOptions

    call = fake("nnunet_prompt.inference.predict_folder.predict_folder", Predicted(12, kept=2))
    line = "predict -i images -o out -m model -p prompts.json -f 0 all -device cpu --refine auto --structures LV,2221"
    line += " --window full --no-grow --continue_prediction --num-parts 3 --part-id 2 --verbose"
    line += " --dask tcp://host:8786 --probabilities"
    assert run(f"{line} --disable_tta -step_size 0.7 -chk checkpoint_best.pth") == 0
    call.assert_called_once_with(
        Path("images"),
        Path("out"),
        model=Path("model"),
        prompts=Path("prompts.json"),
        structures=("LV", "2221"),
        refine=Path("auto"),
        options=PredictOptions(
            folds=(0, "all"),
            device="cpu",
            use_mirroring=False,
            step_size=0.7,
            checkpoint="checkpoint_best.pth",
            window="full",
            grow=False,
        ),
        run_options=RunOptions(
            overwrite=False,
            num_parts=3,
            part_id=2,
            verbose=True,
            dask="tcp://host:8786",
            probabilities=True,
        ),
    )
    assert capsys.readouterr().out == "wrote 12 masks to out; kept 2 existing masks\n"


def test_predict_takes_nnunets_spellings(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from nnunet_prompt.inference.predict_folder import Predicted
    from nnunet_prompt.inference.run_options import RunOptions

    call = fake("nnunet_prompt.inference.predict_folder.predict_folder", Predicted(1))
    assert run("predict -i images -o out -m model --c -num_parts 3 -part_id 1") == 0
    options = RunOptions(overwrite=False, num_parts=3, part_id=1)
    assert call.call_args.kwargs["run_options"] == options
    assert run("predict -i images -o out -m model -num_parts 3 -part_id 3") == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "part id: expected a number from 0 to 2" in said and "found 3" in said


def test_predict_is_told_how_prompts_are_read(fake: Any) -> None:
    from nnunet_prompt.inference.predict_folder import Predicted
    from nnunet_prompt.inference.run_options import RunOptions
    from nnunet_prompt.prompt_files.prompts_json_convention import GivenConvention

    call = fake("nnunet_prompt.inference.predict_folder.predict_folder", Predicted(1))
    line = "predict -i images -o out -m model -p folder --order yx --base 1 --inclusive"
    assert run(f"{line} --axes xyz --whole-names") == 0
    assert call.call_args.kwargs["run_options"] == RunOptions(
        axes="xyz", whole_names=True, convention=GivenConvention("yx", 1, True)
    )
    assert run("predict -i images -o out -m model -p folder --inclusive no --order auto") == 0
    options = RunOptions(convention=GivenConvention(inclusive=False))
    assert call.call_args.kwargs["run_options"] == options


@each("more", ["--order yx", "--base 1", "--inclusive", "--whole-names"])
def test_an_upload_is_read_as_its_form_says(more: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"predict -i images -o out -m model --upload wholeheart {more}") == 1
    assert "its form states what is read" in capsys.readouterr().err


@each("more", ["--num-parts 2", "--dask tcp://host:8786"])
def test_an_upload_is_made_in_one_run(more: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"predict -i images -o out -m model --upload wholeheart {more}") == 1
    assert "neither --num-parts nor --dask" in capsys.readouterr().err


def test_simulate(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from nnunet_prompt.challenge.simulate import SimulateOptions

    call = fake("nnunet_prompt.challenge.simulate.simulate_prompts_json")
    assert run("simulate labels -o p.json") == 0
    call.assert_called_once_with(Path("labels"), Path("p.json"), options=SimulateOptions())
    line = "simulate labels -o p.json --max-points 3 --jitter 2 --seed 7 --order yx --base 1 --inclusive"
    assert run(line) == 0
    options = SimulateOptions(max_points=3, jitter=2, seed=7, order="yx", base=1, inclusive=True)
    call.assert_called_with(Path("labels"), Path("p.json"), options=options)
    assert capsys.readouterr().out == "wrote p.json\n" * 2


@each(
    ("degraded", "said"),
    [
        (0, "wrote the masks to out\n"),
        (1, "wrote the masks to out; 1 case degraded, see the warnings\n"),
        (2, "wrote the masks to out; 2 cases degraded, see the warnings\n"),
    ],
)
def test_submit(degraded: int, said: str, fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from nnunet_prompt.challenge.submit import SubmitOptions
    from nnunet_prompt.inference.options import PredictOptions
    from nnunet_prompt.prompt_files.prompts_json_convention import GivenConvention

    call = fake("nnunet_prompt.challenge.submit.submit", degraded)
    line = "submit -i in -o out -m model --disable_tta --window full --no-grow --bfloat16"
    assert run(f"{line} --order yx --base 1 --inclusive") == 0
    call.assert_called_once_with(
        Path("in"),
        Path("out"),
        model=Path("model"),
        options=PredictOptions(use_mirroring=False, window="full", grow=False, bfloat16=True),
        submission=SubmitOptions(convention=GivenConvention("yx", 1, True)),
    )
    assert capsys.readouterr().out == said


@each(
    ("line", "given"),
    [
        ("", (None, None, None)),
        ("--order auto --base auto --inclusive auto", (None, None, None)),
        ("--order xy --base 0 --inclusive no", ("xy", 0, False)),
        ("--inclusive --base 1", (None, 1, True)),
    ],
)
def test_submit_leaves_open_what_is_not_given(line: str, given: Any, fake: Any) -> None:
    from nnunet_prompt.prompt_files.prompts_json_convention import GivenConvention

    call = fake("nnunet_prompt.challenge.submit.submit", 0)
    assert run(f"submit -i in -o out -m model {line}") == 0
    assert call.call_args.kwargs["submission"].convention == GivenConvention(*given)


def test_submit_as_a_container_runs_it(fake: Any) -> None:
    from nnunet_prompt.challenge.submit import SubmitOptions

    call = fake("nnunet_prompt.challenge.submit.submit", 0)
    line = "submit -i in -o out -m model --overwrite --report log/report.json --budget-minutes 2.5"
    assert run(line) == 0
    expected = SubmitOptions(overwrite=True, report=Path("log/report.json"), budget_minutes=2.5)
    assert call.call_args.kwargs["submission"] == expected
    for minutes in ("0", "-1", "nan", "inf", "soon"):
        with pytest.raises(SystemExit, match="2"):
            run(f"submit -i in -o out -m model --budget-minutes {minutes}")


def test_submit_strict(fake: Any) -> None:
    call = fake("nnunet_prompt.challenge.submit.submit", 0)
    assert run("submit -i in -o out -m model --strict") == 0
    assert call.call_args.kwargs["submission"].strict is True
    call.side_effect = NNUNetPromptError("--strict, and 1 case is degraded")
    assert run("submit -i in -o out -m model --strict") == 1


@each(
    ("layout", "module"),
    [
        ("msd", "dataset_conversion.msd"),
        ("nnunet", "dataset_conversion.nnunet_raw"),
        ("phantom", "phantom.heart_conversion"),
    ],
)
def test_convert(layout: str, module: str, fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    call = fake(f"nnunet_prompt.{module}.convert", Path("raw/Dataset004_X"))
    assert run(f"convert {layout} source -d 4 --name X") == 0
    more = {"patient_regex": None} if layout == "nnunet" else {}
    call.assert_called_once_with(Path("source"), 4, name="X", **more)
    assert capsys.readouterr().out == "wrote raw/Dataset004_X\n"


def test_convert_takes_a_patient_regex_where_it_is_used(fake: Any) -> None:
    call = fake("nnunet_prompt.dataset_conversion.nnunet_raw.convert")
    assert run("convert nnunet source -d 4 --patient-regex (.+)_") == 0
    assert call.call_args.kwargs["patient_regex"] == "(.+)_"
    with pytest.raises(SystemExit, match="2"):
        run("convert msd source -d 4 --patient-regex (.+)_")


def converter(layout: str, what: str) -> str:
    return f"nnunet_prompt.dataset_conversion.care.{layout}.{what}"


@each("layout", ["myops", "whs", "lascarqs", "liqa", "atriumct"])
def test_convert_a_care_download(
    layout: str, fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from nnunet_prompt.dataset_conversion.care.download import CareOptions

    call = fake(converter(layout, "convert"), Path("raw/Dataset501_X"))
    assert run(f"convert {layout} source -d 501") == 0
    call.assert_called_once_with(Path("source"), 501, name=None, options=CareOptions())
    line = f"convert {layout} source -d 501 --name X --version-root aligned --leave-out"
    assert run(f"{line} --unknown-to-background") == 0
    options = CareOptions(Path("aligned"), leave_out=True, unknown_to_background=True)
    call.assert_called_with(Path("source"), 501, name="X", options=options)
    assert capsys.readouterr().out == "wrote raw/Dataset501_X\n" * 2


@each(
    ("layout", "flag", "field"),
    [
        ("myops", "--stack-sequences", "stack_sequences"),
        ("myops", "--unaligned", "unaligned"),
        ("lascarqs", "--fix-spacing", "fix_spacing"),
    ],
)
def test_convert_takes_an_option_where_it_is_used(
    layout: str, flag: str, field: str, fake: Any
) -> None:
    from nnunet_prompt.dataset_conversion.care.download import CareOptions

    call = fake(converter(layout, "convert"))
    assert run(f"convert {layout} source -d 1 {flag}") == 0
    assert call.call_args.kwargs["options"] == CareOptions(**{field: True})
    for other in {"myops", "whs", "lascarqs", "liqa", "msd"} - {layout}:
        with pytest.raises(SystemExit, match="2"):
            run(f"convert {other} source -d 1 {flag}")


@each("layout", ["myops", "whs", "lascarqs", "liqa", "atriumct"])
def test_inspect_a_care_download(
    layout: str, fake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nnunet_prompt.dataset_conversion.care.download import CareOptions
    from nnunet_prompt.dataset_conversion.care.inspect import Examined, Inspection

    good, bad = Examined(Inspection("good")), Examined(Inspection("bad", problems=("odd",)))
    call = fake(converter(layout, "examine"), [good])
    table = tmp_path / "table.csv"
    assert run(f"convert {layout} source --inspect {table} --version-root aligned") == 0
    call.assert_called_once_with(Path("source"), CareOptions(Path("aligned")))
    assert table.read_text().splitlines()[1].startswith("good,")
    call.return_value = [good, bad]
    capsys.readouterr()
    assert run(f"convert {layout} source --inspect") == 1
    assert "problem: case bad: odd" in capsys.readouterr().out


def test_convert_unify(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from nnunet_prompt.dataset_conversion.care.download import CareOptions

    call = fake("nnunet_prompt.dataset_conversion.care.unify.unify", Path("raw/Dataset510_CARE"))
    assert run("convert unify -d 510 a b c d") == 0
    sources = [Path(name) for name in "abcd"]
    call.assert_called_once_with(sources, 510, name=None, options=CareOptions())
    assert run("convert unify a -d 510 --name X --leave-out --unaligned --fix-spacing") == 0
    options = CareOptions(leave_out=True, unaligned=True, fix_spacing=True)
    call.assert_called_with([Path("a")], 510, name="X", options=options)
    assert capsys.readouterr().out == "wrote raw/Dataset510_CARE\n" * 2
    for misuse in ("-d 510", "a -d 510 --stack-sequences", "a -d 510 --version-root x", "a"):
        with pytest.raises(SystemExit, match="2"):
            run(f"convert unify {misuse}")


def test_inspect_before_unifying(
    fake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nnunet_prompt.dataset_conversion.care.inspect import Examined, Inspection

    call = fake(
        "nnunet_prompt.dataset_conversion.care.unify.examine",
        [Examined(Inspection("whs:Case1001"))],
    )
    fake("nnunet_prompt.dataset_conversion.care.detect.tasks_of", {"whs": Path("a")})
    table = tmp_path / "table.csv"
    assert run(f"convert unify a --inspect {table}") == 0
    assert call.call_args.args[0] == {"whs": Path("a")}
    assert table.read_text().splitlines()[1].startswith("whs:Case1001,")
    (tmp_path / "b").mkdir()
    assert run(f"convert unify a --inspect {tmp_path / 'b'}") == 1
    assert "b: is a folder, expected a CSV file" in capsys.readouterr().err


def test_inspect_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"convert whs {tmp_path / 'nowhere'} --inspect") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("nnunet-prompt: error: ") and "nowhere: no such folder" in error


def test_phantom(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    call = fake("nnunet_prompt.phantom.heart.write_phantoms")
    assert run("phantom heart -o folder -n 3 --part test --seed 2") == 0
    call.assert_called_once_with(Path("folder"), 3, seed=2, part="test")
    assert capsys.readouterr().out == "wrote 3 phantoms to folder\n"


@each("task", ["myops", "whs", "lascarqs", "liqa", "atriumct"])
def test_mock_challenge(task: str, fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from nnunet_prompt.phantom.mock_challenge import mock_challenge_for

    call = fake("nnunet_prompt.phantom.mock_challenge.write_mock_challenge", Path("folder"))
    assert run(f"phantom {task} -o folder") == 0
    call.assert_called_once_with(
        mock_challenge_for(task), Path("folder"), 24, centres=(), defects=False, seed=0
    )
    printed = capsys.readouterr().out
    assert printed == "wrote 24 training cases, a validation and a test set to folder\n"
    assert run(f"phantom {task} -o folder -n 1 --centres A,B1 --defects --seed 4") == 0
    call.assert_called_with(
        mock_challenge_for(task), Path("folder"), 1, centres=("A", "B1"), defects=True, seed=4
    )
    assert capsys.readouterr().out.startswith("wrote 1 training case, a ")


def test_a_centre_that_no_download_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"phantom whs -o {tmp_path} --centres A,Z") == 1
    error = capsys.readouterr().err
    assert error.startswith("nnunet-prompt: error: --centres: whs has no cases of centre")
    assert error.count("\n") == 1


def test_plan(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from nnunet_prompt.data.plans import ReduceOptions

    call = fake("nnunet_prompt.data.plans.reduce_plans", Path("x.json"))
    assert run("plan -d 5") == 0
    call.assert_called_once_with(5, options=ReduceOptions())
    assert run("plan -d 5 -p a -o b --features 4,8,16 --batch-size 1") == 0
    options = ReduceOptions(source="a", name="b", features=(4, 8, 16), batch_size=1)
    call.assert_called_with(5, options=options)
    assert capsys.readouterr().out == "wrote x.json\n" * 2


def test_plan_without_resampling(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    call = fake("nnunet_prompt.data.plans.no_resampling_plans", Path("x.json"))
    assert run("plan -d 5 --no-resampling") == 0
    call.assert_called_once_with(5, source="nnUNetPlans")
    assert run("plan -d 5 --no-resampling -p a -o b") == 0
    call.assert_called_with(5, source="a", name="b")
    assert capsys.readouterr().out == "wrote x.json\n" * 2
    for reduced in ("--features 4,8,16", "--batch-size 1"):
        assert run(f"plan -d 5 --no-resampling {reduced}") == 1
        assert "--no-resampling" in capsys.readouterr().err
    assert call.call_count == 2


def test_plan_without_folders_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan -d 5") == 1
    assert "nnUNet_preprocessed is not set" in capsys.readouterr().err


def test_demo(fake: Any) -> None:
    call = fake("nnunet_prompt.cli.demo.demo.run_demo")
    assert run("demo") == 0
    call.assert_called_once_with(Path("out/demo"), seed=0)
    assert run("demo -o elsewhere --seed 3") == 0
    call.assert_called_with(Path("elsewhere"), seed=3)
