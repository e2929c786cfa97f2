"""Rounds: an automatic mask, then scribbles that correct the mask of the round before."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.challenge.forms.answer import Answered, Job
from nnunet_prompt.challenge.forms.rounds import fingerprint, keep_for_next, with_earlier
from nnunet_prompt.cli.main import main
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompts.types import CasePrompts, PromptSet
from tests.challenge.forms.jobs import AFFINE, SHAPE, lively_model, noise, read_mask, save_image
from tests.helpers.each import each

pytestmark = pytest.mark.slow

LESION = StructureTable((Structure("lesion", 1, (1,), 1),))
MASK = "images/tumor-lesion-segmentation/ct7.mha"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lively_model(tmp_path_factory.mktemp("model") / "m", table=LESION, channels=2)


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """The first round of a case."""
    save_image(tmp_path / "input/images/ct/ct7.mha", noise(1))
    save_image(tmp_path / "input/images/pet/pet7.mha", noise(2))
    return tmp_path


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """What the network is asked: each answer is the earlier mask and a voxel more."""
    found: list[Job] = []

    def answer(predictor: Any, job: Job, *rest: Any) -> Answered:
        found.append(job)
        labels = np.zeros(SHAPE, np.uint8) if job.automatic is None else job.automatic.copy()
        labels.flat[len(found)] = 1
        return Answered(labels.astype(np.uint8))

    monkeypatch.setattr("nnunet_prompt.challenge.forms.grand_challenge.answer", answer)
    return found


def submit(case: Path, model: Path, *more: str) -> int:
    given = ["-i", str(case / "input"), "-o", str(case / "output"), "-m", str(model)]
    return main(["submit", "--form", "autopet", *given, "-device", "cpu", "--disable_tta", *more])


def scribble(case: Path, **at: list[int]) -> None:
    points = [{"name": name, "point": point} for name, point in at.items()]
    (case / "input" / "lesion-clicks.json").write_text(
        json.dumps({"type": "Multiple points", "points": points})
    )


def test_the_first_round_is_automatic_and_named_like_the_ct(case: Path, model: Path) -> None:
    assert submit(case, model, "--strict") == 0
    first = read_mask(case / "output" / MASK)
    assert set(np.unique(first)) == {0, 1}
    scribble(case)
    assert submit(case, model, "--strict") == 0
    assert np.array_equal(read_mask(case / "output" / MASK), first)


def test_scribbles_are_seen_and_kept(case: Path, model: Path) -> None:
    scribble(case, tumor=[3, 4, 2], background=[8, 10, 5])
    assert submit(case, model, "--strict", "--state", str(case / "state")) == 0
    mask = read_mask(case / "output" / MASK)
    assert mask[3, 4, 2] == 1 and mask[8, 10, 5] == 0
    assert len(list((case / "state").iterdir())) == 1


def test_each_round_corrects_the_one_before(case: Path, model: Path, jobs: list[Job]) -> None:
    state = ("--state", str(case / "state"))
    assert submit(case, model, *state) == 0
    scribble(case, tumor=[3, 4, 2])
    for _ in range(2):
        assert submit(case, model, *state) == 0
    first, second, third = jobs
    assert first.prompts is None and first.automatic is None
    assert second.automatic is not None and third.automatic is not None
    assert [np.count_nonzero(j.automatic) for j in (second, third)] == [1, 2]  # type: ignore[arg-type]
    assert second.prompts is not None and second.start
    (said,) = second.prompts.labels.values()
    assert [s.path for s in said.scribbles] == [((3, 4, 2),)] and not said.points


def test_another_case_and_a_first_round_begin_anew(
    case: Path, model: Path, jobs: list[Job]
) -> None:
    state = ("--state", str(case / "state"))
    scribble(case, tumor=[3, 4, 2])
    assert submit(case, model, *state) == 0
    save_image(case / "input/images/pet/pet7.mha", noise(3))
    assert submit(case, model, *state) == 0
    save_image(case / "input/images/pet/pet7.mha", noise(2))
    (case / "input" / "lesion-clicks.json").unlink()
    assert submit(case, model, *state) == 0
    assert [job.automatic for job in jobs] == [None] * 3


def test_a_mask_of_the_platform_goes_before_our_own(
    case: Path, model: Path, jobs: list[Job]
) -> None:
    scribble(case, tumor=[3, 4, 2])
    given = np.zeros(SHAPE, np.uint8)
    given[5:] = 1
    save_image(case / "input/images/previous-segmentation/p.mha", given)
    assert submit(case, model, "--state", str(case / "state")) == 0
    assert jobs[0].automatic is not None and np.array_equal(jobs[0].automatic, given)


@each("wrong", ["another grid", "no image", "unknown folder", "state in input"])
def test_what_is_wrong_is_one_line(
    case: Path, model: Path, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more: tuple[str, ...] = ()
    if wrong == "another grid":
        save_image(case / "input/images/previous-segmentation/p.mha", np.ones((4, 4, 4), np.uint8))
        line = "has another geometry than"
    elif wrong == "no image":
        (case / "input/images/pet/pet7.mha").unlink()
        line = "socket 'pet': expected one image that ends in"
    elif wrong == "unknown folder":
        save_image(case / "input/images/mri/p.mha", noise())
        line = "unknown slug 'mri'"
    else:
        more = ("--state", str(case / "input" / "state"))
        line = "lies in the input"
    assert submit(case, model, *more) == 1
    errors = [one for one in capsys.readouterr().err.splitlines() if "error" in one]
    assert len(errors) == 1 and line in errors[0]
    assert not (case / "output" / MASK).exists()


def small_job() -> Job:
    image = NiftiVolume(Path("a.mha"), noise(), AFFINE, None, SHAPE)
    return Job("a", {"": image}, CasePrompts({1: PromptSet()}))


def test_a_case_is_known_by_its_voxels_and_its_grid() -> None:
    job = small_job()
    image = job.reference
    renamed = replace(job, volumes={"": replace(image, path=Path("b.mha"))})
    rounded = replace(job, volumes={"": replace(image, affine=AFFINE + 1e-7)})
    assert fingerprint(job) == fingerprint(renamed) == fingerprint(rounded)
    moved = replace(job, volumes={"": replace(image, affine=AFFINE + 1)})
    other = replace(job, volumes={"": replace(image, array=noise(1))})
    assert len({fingerprint(one) for one in (job, moved, other)}) == 3


def test_a_damaged_or_empty_state_costs_no_mask(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = small_job()
    keep_for_next(job, np.zeros(SHAPE, np.uint8), tmp_path)
    assert with_earlier(job, tmp_path) is job
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"nothing")
    assert with_earlier(job, tmp_path) is job
    assert "the earlier mask cannot be used" in caplog.text
    keep_for_next(job, np.ones(SHAPE, np.uint8), file)
    assert "the next call begins without this mask" in caplog.text
