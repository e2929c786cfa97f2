"""Words in a challenge run: a structure by its name, beside others, refused without a loss, checked and kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.challenge.check import check_output
from nnunet_prompt.challenge.submit import SubmitOptions, submit
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.io.nifti import NiftiVolume
from tests.challenge.folders import PLAIN, SHAPE, BoxFiller, Challenge
from tests.helpers.models import write_model_folder

pytestmark = pytest.mark.slow


class Knowing(BoxFiller):
    """Knows the structures, too: `ball` (500) is the first half of the first axis, `shell` (200) the rest."""

    def __init__(self, broken: Sequence[str] = (), **changes: Any) -> None:
        super().__init__(**changes)
        self.broken = broken
        self.asked: list[list[str]] = []

    def predict_structures(
        self, images: Sequence[NiftiVolume], wanted: Sequence[str] = ()
    ) -> npt.NDArray[Any]:
        self.asked.append(list(wanted))
        if set(self.broken) & set(wanted):
            raise RuntimeError("no such head")
        labels = np.zeros(images[0].shape, np.uint16)
        labels[:2] = 500 if "ball" in wanted else 0
        labels[2:] = 200 if "shell" in wanted else 0
        return labels


HALF = np.zeros(SHAPE, bool)
HALF[:2] = True


def names(content: dict[str, Any]) -> None:
    """Case1 by words alone, Case2 with boxes and words, Case3 with words that are refused."""
    content["Case1"] = {"text": "ball", "4": None}
    content["Case2"]["text"] = {"7": "shell"}
    content["Case3"]["text"] = "nonsense"


@pytest.fixture
def challenge(tmp_path: Path) -> Challenge:
    return Challenge(tmp_path, ["Case1", "Case2", "Case3"])


def test_words_alone_beside_boxes_and_refused(challenge: Challenge) -> None:
    before = Challenge(challenge.json.parents[1] / "plain", ["Case1", "Case2", "Case3"])
    before.run(BoxFiller())
    plain = before.written()
    challenge.edit(names)
    predictor = Knowing()
    (trouble,) = challenge.run(predictor)
    assert (trouble.case, trouble.stage) == ("Case3", "prompts")
    assert "no structure 'nonsense'" in trouble.reason and trouble.has_mask
    written = challenge.written()
    alone = np.where(HALF, 500, 0)
    alone[..., 4] = 0  # null
    assert np.array_equal(written["Case1_pred.nii.gz"], alone)
    both = written["Case2_pred.nii.gz"]
    boxes = plain["Case2_pred.nii.gz"]
    assert boxes.any() and np.array_equal(both[boxes > 0], boxes[boxes > 0])
    null = [k for k, v in json.loads(challenge.json.read_text())["Case2"].items() if v is None]
    shell = ~HALF & (boxes == 0)
    shell[..., [int(k) for k in null]] = False
    assert null and np.array_equal(both == 7, shell)
    assert np.array_equal(written["Case3_pred.nii.gz"], plain["Case3_pred.nii.gz"])
    assert predictor.asked == [["ball"], ["shell"]]


def test_neither_costs_the_other(challenge: Challenge) -> None:
    challenge.edit(lambda content: content["Case2"].update(text={"7": "shell"}))
    troubles = challenge.run(Knowing(broken=["shell"]))
    assert [t.reason for t in troubles] == [
        "RuntimeError: no such head; what its words name is left out"
    ]
    boxes = challenge.written()["Case2_pred.nii.gz"]
    assert boxes.any() and 7 not in boxes
    troubles = challenge.run(
        Knowing(fails_at=1.0), overwrite=True
    )  # Case2's image is filled with 1
    assert ["shapes do not match" in t.reason for t in troubles] == [True]
    assert {7, 500} <= set(np.unique(challenge.written()["Case2_pred.nii.gz"]))


def test_masks_of_words_pass_the_check_and_are_kept(challenge: Challenge) -> None:
    challenge.edit(names)
    challenge.run(Knowing())
    checked = check_output(challenge.json.parent, challenge.output, given=PLAIN.convention)
    assert (checked.expected, checked.problems) == (3, ())
    again = Knowing()
    challenge.run(again)
    assert again.calls == [] and again.asked == []


def test_words_of_the_wrong_kind_are_a_trouble_of_their_case(challenge: Challenge) -> None:
    challenge.edit(lambda content: content["Case1"].update(text=5))
    (trouble,) = challenge.run(Knowing())
    assert trouble.case == "Case1" and "text: expected words" in trouble.reason
    assert challenge.written()["Case1_pred.nii.gz"].any()


def test_strict_ends_with_an_error_for_refused_words_and_a_real_model(tmp_path: Path) -> None:
    challenge = Challenge(tmp_path, ["Case1", "Case2"])
    challenge.edit(lambda content: content.update(Case1="ball", Case2=["shell", "nonsense"]))
    model = write_model_folder(tmp_path / "model")
    options = PredictOptions(device="cpu", use_mirroring=False)
    degraded = submit(
        challenge.json.parent,
        challenge.output,
        model=model,
        options=options,
        submission=SubmitOptions(convention=PLAIN.convention),
    )
    assert degraded == 1
    assert {
        name: set(np.unique(m)) <= {0, 500, 200} for name, m in challenge.written().items()
    } == {
        "Case1_pred.nii.gz": True,
        "Case2_pred.nii.gz": True,
    }
    with pytest.raises(ValueError, match=r"1 case.*degraded: Case2"):
        submit(
            challenge.json.parent,
            tmp_path / "strict",
            model=model,
            options=options,
            submission=SubmitOptions(convention=PLAIN.convention, strict=True),
        )
