from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from torch import Tensor

from nnunet_prompt.challenge.budget import Budget, Effort
from nnunet_prompt.challenge.case_run import CaseRun, Setting
from nnunet_prompt.io.image_cases import ImageCase
from nnunet_prompt.prompt_files.prompts_json import read_prompts_json
from tests.challenge.folders import SHAPE, BoxFiller, Challenge, bricks, save
from tests.helpers.each import each
from tests.helpers.predictors import Answers, idle_engine, predictor


class Counts(Answers):
    """Counts its forward passes, and runs out of memory for inputs of more than `most` numbers."""

    def __init__(self, most: int = 10**9) -> None:
        super().__init__()
        self.most, self.passes = most, 0

    def forward(self, x: Tensor) -> Tensor:
        if x.numel() > self.most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        self.passes += len(x)
        return super().forward(x)


@pytest.fixture
def two(tmp_path: Path) -> Challenge:
    return Challenge(tmp_path, ["a", "b"])


def test_a_failed_prediction_falls_back_to_the_boxes(two: Challenge, capsys: Any) -> None:
    (trouble,) = two.run(BoxFiller(fails_at=0))
    assert (trouble.case, trouble.stage) == ("a", "prediction")
    assert trouble.reason.startswith(
        "RuntimeError: shapes do not match at line 3; its mask is from"
    )
    assert all(np.array_equal(mask, bricks()) for mask in two.written().values())
    assert "Traceback" not in capsys.readouterr().err


def test_a_prediction_on_another_grid_falls_back(two: Challenge) -> None:
    def turned(images: Any, prompts: Any) -> npt.NDArray[Any]:
        return np.zeros(SHAPE[::-1], int)

    predictor = SimpleNamespace(n_image_channels=1, engine=idle_engine(), predict_prompts=turned)
    assert [t.stage for t in two.run(predictor)] == ["prediction", "prediction"]
    assert all(np.array_equal(mask, bricks()) for mask in two.written().values())


def test_a_truncated_image_falls_back_to_the_boxes(tmp_path: Path) -> None:
    challenge = Challenge(tmp_path, ["a", "b"])
    path = challenge.images / "a.nii"
    (challenge.images / "a.nii.gz").unlink()
    save(path, np.zeros(SHAPE, np.float32))
    path.write_bytes(path.read_bytes()[:-100])
    (trouble,) = challenge.run()
    assert (trouble.case, trouble.stage, trouble.has_mask) == ("a", "image", True)
    assert all(np.array_equal(mask, bricks()) for mask in challenge.written().values())


def test_an_image_with_a_damaged_affine_is_still_predicted(two: Challenge) -> None:
    path = two.images / "a.nii"
    (two.images / "a.nii.gz").unlink()
    save(path, np.zeros(SHAPE, np.float32))
    content = bytearray(path.read_bytes())
    content[280:328] = np.full(12, np.nan, "<f4").tobytes()  # the sform
    path.write_bytes(content)
    predictor = BoxFiller()
    (trouble,) = two.run(predictor)
    assert (trouble.case, trouble.stage, trouble.has_mask) == ("a", "image", True)
    assert trouble.reason.endswith("; done with what could be read of a.nii")
    assert len(predictor.calls) == 2
    assert two.written()["a_pred.nii.gz"].shape == SHAPE


def test_the_grid_may_come_from_another_sequence(two: Challenge) -> None:
    (two.images / "a.nii.gz").rename(two.images / "a_T2.nii.gz")
    (two.images / "a_LGE.nii.gz").write_bytes(b"no image")
    (two.images / "b.nii.gz").rename(two.images / "b_C0.nii.gz")
    (trouble,) = two.run()
    assert (trouble.case, trouble.stage) == ("a", "image")
    assert trouble.reason.endswith("; this sequence is left out")
    assert all(np.array_equal(mask, bricks()) for mask in two.written().values())


def test_an_image_that_no_memory_holds_falls_back_without_being_read(two: Challenge) -> None:
    key, case = "a", ImageCase("a", {"": (two.images / "a.nii.gz",)})
    prompts = read_prompts_json(two.json)
    for free, reason in ((10**6, None), (120 * 28 - 1, "120 voxels"), (120 * 12 - 1, "no usable")):
        run = CaseRun(Setting(BoxFiller(), prompts, free_bytes=free), case, key)
        loaded = run.load()
        if reason is None:
            assert loaded is not None and loaded.volumes and run.troubles == []
            continue
        assert reason in run.troubles[-1].reason and run.troubles[-1].stage == "image"
        assert (loaded is None) == (free < 120 * 12)
        if loaded is not None:
            assert not loaded.volumes and loaded.seen is None
            assert run.predict(loaded, Effort()) is None
            run.write(loaded, None, two.images.parent.parent / "a.nii.gz")
            assert len(run.troubles) == 1


@each(
    ("effort", "passes", "reason"),
    [
        (Effort("prompts", 0.0), 0, "there is no time for the network; its mask is from the"),
        (Effort("fast", 9.0), 2, "done without mirroring, to save time"),
        (Effort("full", -1.0), 0, "the time for this case is over; its mask is from the prompts"),
        (Effort("full", 9.0), 8, None),
    ],
)
def test_less_time_is_less_effort(
    two: Challenge, effort: Effort, passes: int, reason: str | None
) -> None:
    network = Counts()
    setting = Setting(predictor(network, mirror_axes=(0, 1)), read_prompts_json(two.json))
    setting = replace(setting, budget=Budget(100, lambda: 50.0))
    run = CaseRun(setting, ImageCase("b", {"": (two.images / "b.nii.gz",)}), "b")
    loaded = run.load()
    assert loaded is not None
    labels = run.predict(loaded, effort)
    assert (labels is None) == (passes == 0)
    assert network.passes == passes
    assert run.tiles == (2 if passes else 0)  # one for each label
    assert [t.reason[: len(reason or "")] for t in run.troubles] == ([reason] if reason else [])


@pytest.mark.slow
def test_too_little_memory_is_told_if_it_changes_the_mask(two: Challenge) -> None:
    one = predictor(Counts(most=8 * 8 * 8 * 8))
    one.engine = replace(one.engine, max_batch=4)
    one.model.configuration.configuration["patch_size"] = [8, 12, 12]
    troubles = two.run(one)
    assert [t.stage for t in troubles] == ["prediction", "prediction"]
    assert troubles[0].reason == "there was too little memory; done with tiles of 8 x 8 x 8"
    assert all(set(np.unique(mask)) == {0, 500, 2221} for mask in two.written().values())


def test_an_unreadable_image_has_no_mask_and_stops_nobody(two: Challenge) -> None:
    (two.images / "a.nii.gz").write_bytes(b"no image")
    troubles = two.run()
    assert {t.case for t in troubles} == {"a"} and not troubles[-1].has_mask
    assert all("\n" not in str(t) for t in troubles)
    assert list(two.written()) == ["b_pred.nii.gz"]


@each(
    "bad",
    [
        None,
        3,
        {"1": {"500": [[3, 1, 1, 3], []]}},
        {"1": {"500": [[0, 0, 99, 3], []]}},
        {"1": {"LV": [[0, 0, 1, 1], []]}},
        {"1": {"500": [[0, 0, float("nan"), 1], [[1, 1]]]}},
        {"99": {"500": [[0, 0, 1, 1], []]}},
    ],
)
def test_bad_prompts_of_one_case_are_told_and_the_rest_is_used(two: Challenge, bad: Any) -> None:
    two.edit(lambda content: content.update(a=bad))
    (trouble,) = two.run()
    assert (trouble.case, trouble.stage, trouble.has_mask) == ("a", "prompts", True)
    assert trouble.reason.startswith("prompts.json: case 'a'")
    a, b = two.written().values()
    assert a.shape == SHAPE and set(np.unique(a)) <= {0, 500}
    assert np.array_equal(b, bricks())


def test_myops_sequences_make_one_mask_on_the_grid_of_lge(
    two: Challenge, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("c_C0", "c_T2"):
        save(two.images / f"{name}.nii.gz", np.zeros((3, 3, 2), np.float32))
    (two.images / "a.nii.gz").rename(two.images / "c_LGE.nii.gz")
    two.edit(lambda content: content.update({"c_LGE.nii.gz": content.pop("a")}))
    assert two.run() == []
    assert list(two.written()) == ["b_pred.nii.gz", "c_pred.nii.gz"]
    assert np.array_equal(two.written()["c_pred.nii.gz"], bricks())
    said = caplog.text
    assert said.count("case 'c': ") == 2 and said.count("left out") == 2


def test_channels_are_handed_over_in_order(two: Challenge) -> None:
    (two.images / "a.nii.gz").rename(two.images / "a_0001.nii.gz")
    (two.images / "b.nii.gz").rename(two.images / "a_0000.nii.gz")
    two.edit(lambda content: content.pop("b"))
    predictor = BoxFiller(n_image_channels=2)
    assert two.run(predictor) == []
    assert [names for names, _ in predictor.calls] == [["a_0000.nii.gz", "a_0001.nii.gz"]]
    assert list(two.written()) == ["a_pred.nii.gz"]


def test_a_missing_channel_or_another_size_falls_back(two: Challenge) -> None:
    (two.images / "a.nii.gz").rename(two.images / "a_0000.nii.gz")
    (two.images / "b.nii.gz").rename(two.images / "b_0000.nii.gz")
    save(two.images / "b_0001.nii.gz", np.zeros((2, 2, 2), np.float32))
    troubles = two.run(BoxFiller(n_image_channels=2))
    assert [(t.case, t.stage) for t in troubles] == [("a", "image"), ("b", "image")]
    assert all(np.array_equal(mask, bricks()) for mask in two.written().values())


def test_a_fourth_axis_of_one_stays(two: Challenge) -> None:
    save(two.images / "a.nii.gz", np.zeros((*SHAPE, 1), np.float32))
    assert two.run() == []
    assert two.written()["a_pred.nii.gz"].shape == (*SHAPE, 1)


def test_voxels_that_are_not_finite_are_told(
    two: Challenge, caplog: pytest.LogCaptureFixture
) -> None:
    image = np.zeros(SHAPE, np.float32)
    image[0, 0, :2] = np.nan
    save(two.images / "a.nii.gz", image)
    assert two.run() == []
    assert "a.nii.gz: 2 voxels are not finite" in caplog.text
