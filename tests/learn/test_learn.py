"""From a support set to an adapter, and from the adapter to masks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from nnunet_prompt.challenge.simulate import simulate_prompts_json
from nnunet_prompt.challenge.submit import submit
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predict_folder import predict_folder
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.inference.session import PromptSession
from nnunet_prompt.learn import choose
from nnunet_prompt.learn.choose import Plan, plan_trials
from nnunet_prompt.learn.lesson import Pace
from nnunet_prompt.learn.options import KINDS, Learned, LearnOptions
from nnunet_prompt.learn.run import learn
from nnunet_prompt.learn.student import Student
from nnunet_prompt.learn.support import SupportCase
from nnunet_prompt.networks.adapter_file import read_adapter
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.networks.tunable import tuned_tensors
from nnunet_prompt.prompts.types import Point
from nnunet_prompt.weights.merge import merge_adapter
from tests.helpers.each import each
from tests.helpers.models import write_model_folder
from tests.learn.conftest import write_case

pytestmark = pytest.mark.slow

ON_CPU = PredictOptions(device="cpu")


def taught(model: Path, support: Path, output: Path, **options: Any) -> Learned:
    given = {"names": "7=ball", "minutes": 30, **options}
    return learn(
        support / "images",
        support / "labels",
        model=model,
        output=output,
        options=LearnOptions(**given),
        running=ON_CPU,
    )


@each("kind", KINDS)
def test_an_adapter_answers_its_own_structures(
    model: Path, support: Path, tmp_path: Path, kind: str
) -> None:
    made = taught(model, support, tmp_path / "new", kind=kind, iterations=2)
    assert made == Learned(tmp_path / "new.pth", kind, ("ball",), 2, 2)
    options = PredictOptions(device="cpu", adapter=tmp_path / "new")
    predictor = PromptPredictor(model, options)
    assert [(s.name, s.official) for s in predictor.table.structures] == [("ball", 7)]
    session = PromptSession(model, options)
    session.set_image(support / "images" / "case_0_0000.nii.gz")
    session.add(Point((6, 8, 4)), "ball")
    assert set(np.unique(session.predict())) <= {0, 7}
    base = PromptPredictor(model, ON_CPU)
    assert base.table.names == ("ball", "shell", "core")  # the model is as it was


@pytest.mark.slow
def test_with_an_adapter_a_folder_is_predicted(model: Path, support: Path, tmp_path: Path) -> None:
    taught(model, support, tmp_path / "new", kind="decoder", iterations=150)
    options = PredictOptions(device="cpu", adapter=tmp_path / "new")
    predict_folder(support / "images", tmp_path / "out", model=model, options=options)
    for i in range(2):
        mask, labels = (
            np.asarray(nib.load(folder / f"case_{i}.nii.gz").dataobj)
            for folder in (tmp_path / "out", support / "labels")
        )
        assert 2 * ((mask == 7) & (labels == 7)).sum() > 0.7 * ((mask == 7).sum() + 93)


def test_a_seed_and_a_length_give_the_same_adapter(
    model: Path, support: Path, tmp_path: Path
) -> None:
    first, again, other = (
        taught(model, support, tmp_path / name, kind="lora", iterations=2, seed=seed)
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    a, b, c = (read_checkpoint(one.file)["network_weights"] for one in (first, again, other))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


@each(("affine", "cases"), [(0.25, 2), (0.5, 1)])
def test_the_kind_is_the_best_on_left_out_cases(
    model: Path,
    support: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    affine: float,
    cases: int,
) -> None:
    monkeypatch.setattr(choose, "FEWEST", 1)
    dice = {"decoder": 0.1, "lora": 0.2, "affine": affine}
    monkeypatch.setattr(
        "nnunet_prompt.learn.student.Student.dice", lambda self, _: dice[self.kind.method]
    )
    made = taught(model, support, tmp_path / "new", iterations=6)
    assert made.kind == "affine"
    assert made.dice == {kind: (value,) * cases for kind, value in dice.items()}
    assert read_adapter(made.file).tuning.method == "affine"


@each(
    ("iterations", "available", "expected"),
    [
        (900, 5, Plan(5, 60)),
        (900, 3, Plan(3, 100)),
        (150, 3, Plan(1, 50)),
        (1, 3, Plan(1, 50)),
    ],
)
def test_few_iterations_leave_out_fewer_cases(
    iterations: int, available: int, expected: Plan
) -> None:
    assert plan_trials(iterations, available) == expected


def test_of_one_case_none_is_left_out(model: Path, tmp_path: Path) -> None:
    write_case(tmp_path / "one", "case")
    made = taught(model, tmp_path / "one", tmp_path / "new", iterations=1)
    assert (made.kind, made.dice) == ("decoder", {})


def test_the_time_limit_ends_a_training(model: Path, support: Path, tmp_path: Path) -> None:
    made = taught(model, support, tmp_path / "new", kind="affine", minutes=1e-6, iterations=500)
    assert made.done == 1 and made.file.is_file()


def test_without_a_length_the_time_is_used(model: Path, support: Path, tmp_path: Path) -> None:
    made = taught(model, support, tmp_path / "new", kind="affine", minutes=0.03)
    assert 1 <= made.done <= made.iterations < 5000


def test_where_steps_are_slow_no_time_goes_into_the_choice(
    model: Path, support: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = taught(model, support, tmp_path / "new", minutes=0.02)
    assert (made.kind, made.dice) == ("decoder", {})
    assert "too little time to compare kinds of adapters" in caplog.text


def test_slices_are_learned_by_a_2d_network(
    support: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "FEWEST", 1)
    model = write_model_folder(tmp_path / "flat", configuration="2d")
    made = taught(model, support, tmp_path / "new", iterations=1)
    assert set(made.dice) == set(KINDS)
    predictor = PromptPredictor(model, PredictOptions(device="cpu", adapter=made.file))
    found = predictor.predict_structures(support / "images" / "case_0_0000.nii.gz")
    assert set(np.unique(found)) <= {0, 7}


@each("content", [None, b"no adapter"])
def test_what_is_no_adapter_is_refused(model: Path, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "new.pth").write_bytes(content)
    with pytest.raises(NNUNetPromptError, match=r"new\.pth: not"):
        PromptPredictor(model, PredictOptions(device="cpu", adapter=tmp_path / "new"))


def test_ctrl_c_keeps_the_best_so_far(
    model: Path, support: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, count = Pace.step, []

    def pressed(self: Pace, student: Any, bar: Any) -> bool:
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        return step(self, student, bar)

    monkeypatch.setattr(Pace, "step", pressed)
    made = taught(model, support, tmp_path / "new", kind="affine", iterations=5)
    assert made.interrupted and (made.done, made.iterations) == (2, 5)
    more = taught(model, support, tmp_path / "new", iterations=2, resume=True)
    assert (more.kind, more.done) == ("affine", 2)


def test_ctrl_c_early_in_the_last_training_keeps_a_longer_one(
    model: Path, support: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "FEWEST", 2)
    step, count = Pace.step, []

    def pressed(self: Pace, student: Any, bar: Any) -> bool:
        count.append(1)
        if len(count) == 2 * len(KINDS) + 2:  # the second step of the last training
            raise KeyboardInterrupt
        return step(self, student, bar)

    monkeypatch.setattr(Pace, "step", pressed)
    made = taught(model, support, tmp_path / "new", iterations=6)
    assert made.interrupted and (made.done, made.iterations) == (2, 2)


def test_ctrl_c_before_anything_was_learned_writes_nothing(
    model: Path, support: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: Any) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(Pace, "step", pressed)
    with pytest.raises(KeyboardInterrupt):
        taught(model, support, tmp_path / "new", iterations=5)
    assert not (tmp_path / "new.pth").exists()


def test_resuming_begins_with_the_adapter(model: Path, support: Path, tmp_path: Path) -> None:
    taught(model, support, tmp_path / "new", kind="lora", iterations=30)
    before = read_adapter(tmp_path / "new.pth").tensors
    taught(model, support, tmp_path / "new", iterations=1, resume=True)
    after = read_adapter(tmp_path / "new.pth").tensors
    assert all((after[n] - before[n]).abs().max() < 0.01 for n in before if n != "provenance")
    assert any(not torch.equal(after[n], before[n]) for n in before)


def test_the_merged_checkpoint_has_the_same_weights(
    model: Path, support: Path, tmp_path: Path
) -> None:
    made = taught(model, support, tmp_path / "new", kind="lora", iterations=2)
    base = model / "fold_0" / "checkpoint_final.pth"
    merge_adapter(base, made.file, tmp_path / "merged.pth")
    merged = read_checkpoint(tmp_path / "merged.pth")["network_weights"]
    predictor = PromptPredictor(model, PredictOptions(device="cpu", adapter=made.file))
    loaded = predictor.model.weights[0]
    assert merged.keys() == loaded.keys()
    assert all(torch.equal(merged[name], loaded[name]) for name in merged)


def test_the_fold_is_found_by_its_weights(support: Path, tmp_path: Path) -> None:
    model = write_model_folder(tmp_path / "folds", folds=(0, 1))
    made = learn(
        support / "images",
        support / "labels",
        model=model,
        output=tmp_path / "new",
        options=LearnOptions(kind="affine", iterations=1),
        running=PredictOptions(device="cpu", folds=(1,)),
    )
    tuned = PromptPredictor(model, PredictOptions(device="cpu", adapter=made.file))
    assert len(tuned.model.weights) == 1
    assert tuned.model.checkpoint["init_args"]["fold"] == 1


def test_an_adapter_of_another_model_is_refused(model: Path, support: Path, tmp_path: Path) -> None:
    made = taught(model, support, tmp_path / "new", kind="affine", iterations=1)
    other = write_model_folder(tmp_path / "other", folds=(3,))
    weights = read_checkpoint(other / "fold_3" / "checkpoint_final.pth")
    torch.nn.init.ones_(weights["network_weights"]["encoder.stages.0.0.convs.0.conv.weight"])
    torch.save(weights, other / "fold_3" / "checkpoint_final.pth")
    for refused in (
        lambda: PromptPredictor(other, PredictOptions(device="cpu", adapter=made.file)),
        lambda: taught(other, support, made.file, iterations=1, resume=True),
    ):
        with pytest.raises(NNUNetPromptError, match=r"new\.pth: was trained from"):
            refused()


@each(
    ("options", "message"),
    [
        ({"minutes": 0}, "minutes: expected more than 0"),
        ({"iterations": 0}, "iterations"),
        ({"kind": "full"}, "kind"),
        ({"seed": -1}, "seed"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(NNUNetPromptError, match=message):
        LearnOptions(**options)


def test_a_file_that_is_no_adapter_is_not_replaced(
    model: Path, support: Path, tmp_path: Path
) -> None:
    (tmp_path / "new.pth").write_bytes(b"precious")
    with pytest.raises(NNUNetPromptError, match="not a readable checkpoint"):
        taught(model, support, tmp_path / "new", iterations=1)
    assert (tmp_path / "new.pth").read_bytes() == b"precious"


def test_a_challenge_folder_is_answered_with_an_adapter(
    model: Path, support: Path, tmp_path: Path
) -> None:
    made = taught(model, support, tmp_path / "new", kind="affine", iterations=1)
    (tmp_path / "input").mkdir()
    shutil.copytree(support / "images", tmp_path / "input" / "images")
    for path in (tmp_path / "input" / "images").iterdir():
        path.rename(path.with_name(path.name.replace("_0000", "")))
    simulate_prompts_json(support / "labels", tmp_path / "input" / "prompts.json")
    options = PredictOptions(device="cpu", adapter=made.file)
    assert submit(tmp_path / "input", tmp_path / "out", model=model, options=options) == 0
    masks = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert masks == ["case_0_pred.nii.gz", "case_1_pred.nii.gz"]
    found = np.asarray(nib.load(tmp_path / "out" / masks[0]).dataobj)
    assert set(np.unique(found)) == {0, 7}


def test_the_output_may_not_be_an_input(model: Path, support: Path) -> None:
    with pytest.raises(NNUNetPromptError, match="never written to"):
        taught(model, support, model / "fold_0" / "checkpoint_final", iterations=1)


def test_the_last_training_goes_on_from_the_best_trial(
    model: Path, support: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, dict[str, torch.Tensor]]] = []
    ended: list[dict[str, torch.Tensor]] = []
    step, dice = Student.step, Student.dice

    def tensors(student: Student) -> dict[str, torch.Tensor]:
        return {name: t.clone() for name, t in tuned_tensors(student.network).items()}

    def noted(student: Student) -> float:
        if student.done == 0:
            begun.append((student.kind.method, tensors(student)))
        return step(student)

    def asked(student: Student, case: SupportCase) -> float:
        ended.append(tensors(student))
        return {"decoder": 0.5, "lora": 0.9, "affine": 0.2}[student.kind.method] + 0 * dice(
            student, case
        )

    monkeypatch.setattr(choose, "FEWEST", 3)
    monkeypatch.setattr(Student, "step", noted)
    monkeypatch.setattr(Student, "dice", asked)
    made = taught(model, support, tmp_path / "new", iterations=4)
    assert made.kind == "lora"
    method, first = begun[-1]
    assert method == "lora"
    assert all(torch.equal(first[name], tensor) for name, tensor in ended[1].items())
