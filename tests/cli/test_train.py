"""`nnunet-prompt train`: what reaches nnU-Net's own entry, what is chosen for the user, and what is told."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from nnunet_prompt.cli import main as cli
from nnunet_prompt.common.errors import RefusedError
from nnunet_prompt.training import external_trainers as extension
from tests.helpers.each import each
from tests.helpers.planned import DATASET, add_plans, write_planned

CPU_PLANS = "nnUNetPromptCPUPlans"
PLANNED = "-tr nnUNetTrainerPrompt -p nnUNetPlans -device cpu"


def run(line: str) -> int:
    return cli.main(line.split())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    splits = [{"train": ["c0", "c1"], "val": ["c2"]}, {"train": ["c2"], "val": []}]
    return write_planned(tmp_path, splits=splits, plans="nnUNetPlans")


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """nnUNetv2_train's entry, which remembers its argv and the environment that matters."""
    import nnunetv2.run.run_training as run_training

    mock = Mock(return_value=None)
    mock.seen = []

    def remember() -> Any:
        keys = ("nnUNet_extTrainer", "nnUNet_prompt_iterations", "nnUNet_prompt_seed")
        mock.seen.append((sys.argv, [os.environ.get(key) for key in keys]))
        return mock()

    monkeypatch.setattr(run_training, "run_training_entry", remember)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    return mock


def handed_on(entry: Mock) -> str:
    ((argv, _),) = entry.seen
    assert argv[0] == "nnunet-prompt train"
    return " ".join(argv[1:])


def test_every_argument_goes_on(folder: Path, entry: Mock) -> None:
    words = f"501 3d_fullres 0 {PLANNED} --c --npz --val_best"
    assert run(f"train {words}") == 0
    assert handed_on(entry) == words
    assert entry.seen[0][1] == [str(extension.trainers_dir()), None, None]


def test_options_may_come_first_and_a_name_stays_a_name(folder: Path, entry: Mock) -> None:
    assert run(f"train {PLANNED} --disable_checkpointing {DATASET} 3d_fullres all") == 0
    assert handed_on(entry) == f"{DATASET} 3d_fullres all {PLANNED} --disable_checkpointing"


def test_several_gpus(folder: Path, entry: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert run("train 501 3d_fullres 0 -num_gpus 2") == 0
    assert handed_on(entry).endswith("-p nnUNetPlans -device cuda -num_gpus 2")
    assert run("train 501 3d_fullres 0 -num_gpus 3") == 1


def test_our_trainer_and_the_device_that_is_there(
    folder: Path, entry: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train 501 3d_fullres 0") == 0
    assert handed_on(entry) == f"501 3d_fullres 0 {PLANNED}"
    chosen, plans, length, after = capsys.readouterr().err.splitlines()
    assert chosen == f"nnunet-prompt: chosen: {PLANNED} (no GPU here)"
    assert "`nnunet-prompt plan -d 501`" in plans
    assert "-tr nnUNetTrainerPromptCPU" in length and "--iterations" in length
    model = Path(os.environ["nnUNet_results"]) / DATASET
    assert after == (
        "next: nnunet-prompt predict -i IMAGES -o MASKS"
        f" -m {model / 'nnUNetTrainerPrompt__nnUNetPlans__3d_fullres'}"
    )


def test_a_gpu_is_taken_where_there_is_one(
    folder: Path,
    entry: Mock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    add_plans(folder, CPU_PLANS)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert run("train 501 3d_fullres 0") == 0
    assert (
        handed_on(entry) == "501 3d_fullres 0 -tr nnUNetTrainerPrompt -p nnUNetPlans -device cuda"
    )
    assert "no GPU" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", ["-device cpu", "", "-tr nnUNetTrainerPromptCPU", "-tr nnUNetTrainerPromptDemo"]
)
def test_small_plans_are_taken_on_a_cpu(folder: Path, entry: Mock, options: str) -> None:
    add_plans(folder, CPU_PLANS)
    assert run(f"train 501 3d_fullres 0 {options}") == 0
    assert f"-p {CPU_PLANS} -device cpu" in handed_on(entry)


def test_a_trainer_for_a_cpu_needs_small_plans_or_a_name(
    folder: Path, entry: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train 501 3d_fullres 0 -tr nnUNetTrainerPromptCPU") == 1
    assert "run `nnunet-prompt plan -d 501` first, or name the large plans with -p nnUNetPlans" in (
        capsys.readouterr().err
    )
    assert run("train 501 3d_fullres 0 -tr nnUNetTrainerPromptCPU -p nnUNetPlans") == 0
    assert "-p nnUNetPlans" in handed_on(entry)


def test_length_and_seed(folder: Path, entry: Mock, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train 501 3d_fullres 0 --iterations 40 --seed 0") == 0
    assert entry.seen[0][1][1:] == ["40", "0"]
    assert run("train 501 3d_fullres 0 --seed 1 -tr nnUNetTrainer") == 1
    assert "nnUNetTrainer is nnU-Net's own and knows neither" in capsys.readouterr().err


@each(
    "line",
    [
        "train",
        "train 501 3d_fullres",
        "train 501 3d_fullres -1",
        "train 501 3d_fullres first",
        "train 501 3d_fullres 0 -device gpu",
        "train 501 3d_fullres 0 --iterations 0",
        "train 501 3d_fullres 0 --seed -1",
        "train 501 3d_fullres 0 -num_gpus 0",
        "train 501 3d_fullres 0 --iteration 5",
        "train 501 3d_fullres 0 --c --val",
        "train 501 3d_fullres 0 --c -pretrained_weights w.pth",
        "train 501 3d_fullres 0 --val_best --disable_checkpointing",
    ],
)
def test_misuse_is_exit_code_2(
    line: str, folder: Path, entry: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(line)
    assert "usage: nnunet-prompt" in capsys.readouterr().err
    assert not entry.seen


@each(
    ("words", "said"),
    [
        ("51 3d_fullres 0", "data set 51: not in"),
        ("501 3d_fulres 0", "did you mean 3d_fullres?"),
        ("501 2d 0", "holds no preprocessed case: run `nnUNetv2_preprocess -d 501"),
        ("501 3d_cascade_fullres 0", "has no cascade"),
        ("501 3d_fullres 2", "fold 2: expected a fold from 0 to 1"),
        ("501 3d_fullres 1", "fold 1: val lists no case"),
        ("501 3d_fullres 0 -tr nnUNetTrainerPromt", "did you mean nnUNetTrainerPrompt"),
        ("501 3d_fullres 0 -tr Nonsense", "no such trainer; there are nnUNetTrainerPlainCPU, "),
        ("501 3d_fullres 0 -p nnUNetPlan", "did you mean nnUNetPlans?"),
        ("501 3d_fullres 0 -device cuda", "device cuda: this machine has no GPU"),
        ("501 3d_fullres 0 -device mps", "device mps: this machine has none"),
        ("501 3d_fullres 0 -num_gpus 2", "-num_gpus 2: expected at most the 0 GPU(s)"),
        ("501 3d_fullres 0 --val", "checkpoint_final.pth: no such file"),
        ("501 3d_fullres 0 -pretrained_weights no.pth", "no.pth: not found"),
        ("501 3d_fullres 0 -tr nnUNetTrainer -pretrained_weights no.pth", "no.pth: no such file"),
    ],
)
def test_what_nnunet_ends_in_a_traceback_is_one_line(
    words: str, said: str, folder: Path, entry: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"train {words}") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("nnunet-prompt: error: ") and said in line
    assert not entry.seen


@each("cases", [1, 2, 4])
def test_too_few_cases_for_five_folds(
    cases: int, tmp_path: Path, entry: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    write_planned(tmp_path, cases=cases, plans="nnUNetPlans")
    assert run("train 501 3d_fullres 0") == 1
    assert f"holds {cases} case(s)" in capsys.readouterr().err
    assert run("train 501 3d_fullres all") == 0


def test_a_label_map_that_only_the_validation_would_miss(
    folder: Path, entry: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "gt_segmentations/c2.nii.gz").unlink()
    assert run("train 501 3d_fullres 0") == 1
    assert "c2.nii.gz: no such file, and the validation after" in capsys.readouterr().err


def test_folders_that_are_not_set(
    folder: Path, entry: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    del os.environ["nnUNet_results"]
    assert run("train 501 3d_fullres 0") == 1
    assert "error: nnUNet_results is not set" in capsys.readouterr().err


def test_results_that_cannot_be_written(
    folder: Path, entry: Mock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Path(os.environ["nnUNet_results"])
    (results / DATASET).write_text("a file")
    assert run("train 501 3d_fullres 0") == 1
    assert "cannot be made: Not a directory; set nnUNet_results" in capsys.readouterr().err
    (results / DATASET).unlink()
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for who is not root
    assert run("train 501 3d_fullres 0") == 1
    assert "cannot be written; set nnUNet_results" in capsys.readouterr().err
    assert not entry.seen


def fold_folder(trainer: str = "nnUNetTrainerPrompt") -> Path:
    model = f"{trainer}__nnUNetPlans__3d_fullres"
    folder = Path(os.environ["nnUNet_results"]) / DATASET / model / "fold_0"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_half_a_checkpoint_is_told_before_nnunet_starts(
    folder: Path, entry: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    (fold_folder() / "checkpoint_latest.pth").write_bytes(b"PK half")
    assert run("train 501 3d_fullres 0 --c") == 1
    assert "not a whole checkpoint" in capsys.readouterr().err
    assert not entry.seen
    assert run("train 501 3d_fullres 0") == 0
    assert "is of an earlier training, which this one replaces; --c" in capsys.readouterr().err


def test_nothing_to_resume_is_told(
    folder: Path, entry: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train 501 3d_fullres 0 --c") == 0
    assert "--c: no checkpoint in" in capsys.readouterr().err


@pytest.mark.parametrize(("flag", "code"), [("--c", 0), ("--val", 1)])
def test_the_training_that_was_meant_is_named(
    flag: str, code: int, folder: Path, entry: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    (fold_folder("nnUNetTrainerPromptDemo") / "checkpoint_best.pth").write_bytes(b"")
    assert run(f"train 501 3d_fullres 0 {flag}") == code
    assert (
        "; there is one of nnUNetTrainerPromptDemo__nnUNetPlans__3d_fullres:"
        " -tr nnUNetTrainerPromptDemo -p nnUNetPlans\n" in capsys.readouterr().err
    )


@pytest.mark.parametrize("base", ["nnUNetTrainer", "PromptTrainer"])
def test_a_trainer_of_the_user(
    base: str, folder: Path, entry: Mock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be made from ours or from nnU-Net's: neither its weights nor its stages are judged."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.py").write_text(f"class MyTrainer({base}):\n    pass\n")
    (tmp_path / "w.pth").write_bytes(b"")
    os.environ["nnUNet_extTrainer"] = str(tmp_path / "mine")
    options = f"-tr MyTrainer --iterations 3 -pretrained_weights {tmp_path / 'w.pth'}"
    assert run(f"train 501 3d_fullres 0 {options}") == 0
    assert "-tr MyTrainer" in handed_on(entry)


def test_ctrl_c_tells_how_to_resume(
    folder: Path, entry: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    entry.side_effect = KeyboardInterrupt
    assert run("train 501 3d_fullres 0 --iterations 40 --seed 3") == 130
    again = f"nnunet-prompt train 501 3d_fullres 0 {PLANNED} --iterations 40 --seed 3"
    assert f"stopped before the first checkpoint; start again with `{again}`" in (
        capsys.readouterr().err
    )
    (fold_folder() / "checkpoint_best.pth").write_bytes(b"")
    assert run("train 501 3d_fullres 0 --iterations 40 --seed 3") == 130
    text = capsys.readouterr().err
    assert f"stopped; resume from checkpoint_best.pth with `{again} --c`" in text
    assert "-chk checkpoint_best.pth`" in text


# What nnU-Net raises ---------------------------------------------------------------------------------------------


def test_a_refused_training_is_one_line(
    folder: Path, entry: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    entry.side_effect = RefusedError("cascades are not supported")
    assert run(f"train 501 3d_fullres 0 {PLANNED}") == 1
    assert "nnunet-prompt: error: cascades are not supported\n" in capsys.readouterr().err


@pytest.mark.parametrize("ours", [True, False])
def test_what_a_process_for_one_gpu_raised(
    ours: bool, folder: Path, entry: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    from torch.multiprocessing.spawn import ProcessRaisedException

    last = "nnunet_prompt.common.errors.RefusedError: a region" if ours else "KeyError: 'a region'"
    text = f"\n-- Process 1 terminated:\nTraceback (most recent call last):\n  File\n{last}\n"
    entry.side_effect = ProcessRaisedException(text, 1, 7)
    if ours:
        assert run("train 501 3d_fullres 0") == 1
        assert "nnunet-prompt: error: a region\n" in capsys.readouterr().err
    else:
        with pytest.raises(ProcessRaisedException):
            run("train 501 3d_fullres 0")


@each(
    ("error", "said"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate"), "the device ran out of memory"),
        (MemoryError(), "the device ran out of memory"),
        (
            RuntimeError("One or more background workers are no longer alive. Exiting."),
            "nnUNet_n_proc_DA=0",
        ),
        (
            RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
            "the disc is full",
        ),
    ],
)
def test_what_a_user_can_mend(
    error: Exception, said: str, folder: Path, entry: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    entry.side_effect = error
    assert run("train 501 3d_fullres 0") == 1
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_our_own_mistakes_keep_their_traceback(folder: Path, entry: Mock) -> None:
    entry.side_effect = RuntimeError("shapes differ")
    with pytest.raises(RuntimeError, match="shapes differ"):
        run("train 501 3d_fullres 0")


# The help --------------------------------------------------------------------------------------------------------


def test_help_shows_our_options_and_then_nnunets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="0"):
        run("train --help")
    ours = capsys.readouterr().out
    assert ours.index("options of nnunet-prompt") < ours.index("options of nnUNetv2_train")
    assert "--iterations N" in ours and "--seed N" in ours

    from nnunetv2.run.run_training import run_training_entry

    monkeypatch.setattr(sys, "argv", ["nnUNetv2_train", "--help"])
    with pytest.raises(SystemExit, match="0"):
        run_training_entry()
    flag = re.compile(r"^  (--?\w+)", re.MULTILINE)
    theirs = set(flag.findall(capsys.readouterr().out)) - {"-h"}
    assert len(theirs) == 10
    assert theirs <= set(flag.findall(ours))


@pytest.mark.parametrize("name", ["checkpoint_final.pth", "link.pth"])
def test_the_weights_to_start_from_are_not_replaced(
    folder: Path, entry: Mock, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = (
        Path(os.environ["nnUNet_results"])
        / DATASET
        / "nnUNetTrainerPrompt__nnUNetPlans__3d_fullres"
    )
    start = model / "fold_0" / "checkpoint_final.pth"
    start.parent.mkdir(parents=True)
    start.write_bytes(b"weights")
    (folder.parent / "link.pth").symlink_to(start)
    given = start if name == start.name else folder.parent / name
    assert run(f"train 501 3d_fullres 0 -pretrained_weights {given}") == 1
    assert "lies in the folder that this training replaces" in capsys.readouterr().err
    assert not entry.seen and start.read_bytes() == b"weights"


def test_results_stay_out_of_the_preprocessed_data(
    folder: Path, entry: Mock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("nnUNet_results", str(folder.parent))
    assert run("train 501 3d_fullres 0") == 1
    assert "set nnUNet_results to another folder" in capsys.readouterr().err
    assert not entry.seen and not list(folder.glob("nnUNetTrainerPrompt*"))
