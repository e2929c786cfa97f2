from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.challenge.simulate import simulate_prompts_json, slice_prompts
from nnunet_prompt.challenge.submit import SubmitOptions, run_cases, submit
from nnunet_prompt.common.errors import NNUNetPromptError, OutputError, PromptFileError
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.prompt_files.infer_convention import Reading
from nnunet_prompt.prompt_files.prompts_json import read_prompts_json, write_prompts_json
from nnunet_prompt.prompt_files.prompts_json_convention import GivenConvention, JsonConvention
from nnunet_prompt.prompts.frames import pls_map
from tests.challenge.folders import LPS, PLAIN, SHAPE, BoxFiller, Challenge, bricks, save
from tests.helpers.each import each
from tests.helpers.orientations import EIGHT


@pytest.fixture
def two(tmp_path: Path) -> Challenge:
    return Challenge(tmp_path, ["a", "b"])


@each("degrees", [0, 25])
@each(("axes", "signs"), EIGHT)
def test_the_mask_is_on_the_grid_of_its_own_file(
    tmp_path: Path, axes: tuple[int, ...], signs: tuple[int, ...], degrees: float
) -> None:
    turn, affine = np.radians(degrees), np.eye(4)
    about_x = [[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]
    affine[:3, :3] = np.array(about_x) @ (np.eye(3)[list(axes)].T * signs * (1.0, 2.0, 8.0))
    affine[:3, 3] = (5, -7, 11)
    save(tmp_path / "images" / "a.nii.gz", np.zeros(SHAPE, np.float32), affine)
    simulate_prompts_json(save(tmp_path / "a.nii.gz", bricks(), affine), tmp_path / "prompts.json")
    troubles = run_cases(
        BoxFiller(),
        read_prompts_json(tmp_path / "prompts.json"),
        images=[tmp_path / "images" / "a.nii.gz"],
        output_folder=tmp_path / "out",
        submission=PLAIN,
    )
    assert troubles == []
    image = nib.load(tmp_path / "out" / "a_pred.nii.gz")
    assert np.array_equal(np.asarray(image.dataobj), bricks())
    assert np.allclose(image.affine, affine, atol=1e-5)


@each("order", ["xy", "yx"])
@each(("base", "inclusive"), [(0, True), (1, False)])
def test_another_convention_gives_the_same_masks(
    tmp_path: Path, order: Any, base: Any, inclusive: bool
) -> None:
    challenge = Challenge(tmp_path, ["a"], order=order, base=base, inclusive=inclusive)
    assert challenge.run(convention=GivenConvention(order, base, inclusive)) == []
    assert np.array_equal(challenge.written()["a_pred.nii.gz"], bricks())


def test_every_case_gets_its_own_prompts(two: Challenge) -> None:
    two.edit(lambda content: content["b"].update({k: None for k in ("0", "1", "2")}))
    predictor = BoxFiller()
    assert two.run(predictor) == []
    a, b = two.written().values()
    assert np.array_equal(a, bricks())
    expected = bricks()
    expected[..., :3] = 0
    assert np.array_equal(b, expected)
    assert [names for names, _ in predictor.calls] == [["a.nii.gz"], ["b.nii.gz"]]


def test_only_null_slices_is_an_empty_mask_and_no_trouble(two: Challenge) -> None:
    two.edit(lambda content: content.update(b={str(k): None for k in range(5)}))
    assert two.run() == []
    assert not two.written()["b_pred.nii.gz"].any()


def test_an_image_without_prompts_gets_zeros_and_is_told(
    two: Challenge, caplog: pytest.LogCaptureFixture
) -> None:
    two.edit(lambda content: content.pop("b"))
    (trouble,) = two.run()
    assert (trouble.case, trouble.stage, trouble.has_mask) == ("b", "prompts", True)
    assert not two.written()["b_pred.nii.gz"].any()
    assert np.array_equal(two.written()["a_pred.nii.gz"], bricks())
    assert "case 'b', prompts: prompts.json does not name it" in caplog.text


def test_prompts_without_an_image_are_told(two: Challenge) -> None:
    (two.images / "b.nii.gz").unlink()
    (trouble,) = two.run()
    assert str(trouble) == "case 'b', prompts: prompts.json names it, but it has no image"
    assert list(two.written()) == ["a_pred.nii.gz"]


def test_of_many_prompts_without_an_image_the_first_are_told(
    two: Challenge, caplog: pytest.LogCaptureFixture
) -> None:
    two.edit(lambda content: content.update({f"x{i}": {} for i in range(30)}))
    assert len(two.run()) == 30
    said = [line for line in caplog.messages if "image" in line]
    assert len(said) == 21
    assert said[-1] == "10 more cases of prompts.json have no image"


def one_voxel() -> Any:
    """A mask that the prompts allow, and that no run makes of them."""
    mask = np.zeros_like(bricks())
    mask[tuple(np.argwhere(bricks())[0])] = bricks().max()
    return mask


def test_masks_that_are_there_are_kept_unless_overwritten(two: Challenge) -> None:
    kept = save(two.output / "a_pred.nii.gz", one_voxel())
    two.run()
    assert np.array_equal(two.written()[kept.name], one_voxel())
    two.run(overwrite=True)
    assert np.array_equal(two.written()[kept.name], bricks())
    assert [p.name for p in two.output.iterdir() if p.name.startswith(".")] == []


def test_what_a_killed_run_left_behind_is_no_mask(two: Challenge) -> None:
    two.output.mkdir()
    (two.output / ".partial-7-a_pred.nii.gz").write_bytes(b"half a mask")
    (two.output / "b_pred.nii.gz").touch()
    assert two.run() == []
    assert list(two.written()) == ["a_pred.nii.gz", "b_pred.nii.gz"]
    assert all(np.array_equal(mask, bricks()) for mask in two.written().values())


def test_masks_may_be_read_by_others_and_are_the_same_bytes_each_time(two: Challenge) -> None:
    before = os.umask(0o022)
    try:
        two.run()
    finally:
        os.umask(before)
    files = sorted(two.output.iterdir())
    assert [f.stat().st_mode & 0o777 for f in files] == [0o644, 0o644]
    assert files[0].read_bytes()[3:8] == bytes(5)  # gzip: no name, no time
    first = [f.read_bytes() for f in files]
    two.run(overwrite=True)
    assert [f.read_bytes() for f in files] == first


def test_the_input_is_never_written_to(two: Challenge) -> None:
    def state() -> dict[Path, Any]:
        files = sorted(two.json.parent.rglob("*"))
        return {f: (f.stat().st_mtime_ns, f.is_file() and f.read_bytes()) for f in files}

    before = state()
    two.run()
    assert state() == before


def test_how_prompts_are_read_does_not_depend_on_what_is_done(
    two: Challenge, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    def settle(prompts: Any, cases: Any, given: Any) -> Reading:
        seen.append([(key, path.name) for key, path in cases])
        return Reading(JsonConvention("xy"), {}, ("order: xy",), ("base: nothing decides",))

    monkeypatch.setattr("nnunet_prompt.challenge.submit.settle", settle)
    save(two.output / "a_pred.nii.gz", bricks())
    assert two.run() == []
    assert seen == [[("a", "a.nii.gz"), ("b", "b.nii.gz")]]
    said = caplog.text
    assert "order: xy" in said and "base: nothing decides" in said
    with pytest.raises(
        NNUNetPromptError, match=r"--strict, and prompts\.json leaves something open: base"
    ):
        two.run(strict=True)


def test_the_slice_axis_of_a_case_is_that_of_the_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = Reading(JsonConvention("xy"), {"a": 1})
    monkeypatch.setattr("nnunet_prompt.challenge.submit.settle", lambda *_: reading)
    challenge = Challenge(tmp_path, ["a"])
    to_pls = pls_map(LPS, SHAPE)
    prompts = slice_prompts(to_pls.apply(bricks()), np.random.default_rng(0), slice_axis=1)
    write_prompts_json(challenge.json, {"a": prompts})
    for predictor in (BoxFiller(), BoxFiller(fails_at=0)):
        challenge.run(predictor, overwrite=True)
        assert np.array_equal(challenge.written()["a_pred.nii.gz"], bricks())


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Puts a box filler in the place of the real predictor; returns the models it was loaded from."""
    loaded: list[Path] = []

    class Fake(BoxFiller):
        @classmethod
        def from_folder(cls, model: Path, options: Any) -> Fake:
            loaded.append(model)
            return cls()

    module = ModuleType("predictor")
    module.PromptPredictor = Fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nnunet_prompt.inference.predictor", module)
    return loaded


def run_submit(challenge: Challenge, **changes: Any) -> int:
    return submit(
        challenge.json.parent,
        challenge.output,
        model=Path("model"),
        options=PredictOptions(),
        submission=replace(PLAIN, **{"overwrite": True, **changes}),
    )


def test_submit_loads_the_model_once(two: Challenge, loads: list[Path]) -> None:
    assert run_submit(two, strict=True) == 0
    assert loads == [Path("model")]
    assert all(np.array_equal(mask, bricks()) for mask in two.written().values())


def test_submit_does_what_is_left(two: Challenge, loads: list[Path]) -> None:
    kept = save(two.output / "a_pred.nii.gz", one_voxel())
    assert run_submit(two, overwrite=False) == 0
    assert np.array_equal(two.written()[kept.name], one_voxel())
    assert np.array_equal(two.written()["b_pred.nii.gz"], bricks())


def test_submit_counts_degraded_cases_and_strict_refuses_them(
    two: Challenge, loads: list[Path]
) -> None:
    two.edit(lambda content: content.pop("b"))
    assert run_submit(two) == 1
    with pytest.raises(NNUNetPromptError, match=r"--strict, and 1 case\(s\) are degraded: b"):
        run_submit(two, strict=True)
    assert list(two.written()) == ["a_pred.nii.gz", "b_pred.nii.gz"]


def test_submit_ends_with_an_error_when_an_image_has_no_mask(
    two: Challenge, loads: list[Path]
) -> None:
    (two.images / "a.nii.gz").write_bytes(b"no image")
    with pytest.raises(NNUNetPromptError, match=r"1 case\(s\) have no mask: a"):
        run_submit(two)
    assert list(two.written()) == ["b_pred.nii.gz"]


def test_submit_checks_its_folder_before_it_loads_the_model(
    two: Challenge, loads: list[Path], tmp_path: Path
) -> None:
    two.json.write_text("{")
    with pytest.raises(PromptFileError, match=r"prompts\.json: broken JSON in line 1, column 2"):
        run_submit(two, strict=True)
    two.json.unlink()
    with pytest.raises(PromptFileError, match="cannot be read"):
        run_submit(two)
    with pytest.raises(NNUNetPromptError, match="no such folder"):
        submit(tmp_path / "x", tmp_path / "y", model=tmp_path, options=PredictOptions())
    assert loads == []


def test_submit_refuses_to_write_where_it_must_not(
    two: Challenge, loads: list[Path], tmp_path: Path
) -> None:
    inside = two.json.parent / "out"
    with pytest.raises(NNUNetPromptError, match="the output must lie outside"):
        submit(two.json.parent, inside, model=tmp_path, options=PredictOptions(), submission=PLAIN)
    with pytest.raises(
        NNUNetPromptError, match=r"must lie outside .*output, which holds masks and"
    ):
        run_submit(two, report=two.output / "report.json")
    with pytest.raises(
        NNUNetPromptError, match=r"must lie outside .*input, which is never written to"
    ):
        run_submit(two, report=two.json)
    assert loads == [] and not inside.exists() and not two.output.exists()


@each("left", ["empty", "half", "shifted", "where nothing is prompted"])
def test_what_another_program_left_is_no_mask(two: Challenge, left: str) -> None:
    two.run()
    path = two.output / "a_pred.nii.gz"
    whole = path.read_bytes()
    if left == "shifted":
        save(path, bricks().astype(np.uint16), LPS @ np.diag([1, 1, 2, 1]))
    elif left == "where nothing is prompted":
        save(path, np.full(SHAPE, bricks().max(), np.uint16))
    else:
        path.write_bytes(whole[: 0 if left == "empty" else len(whole) // 2])
    two.run()
    assert path.read_bytes() == whole
    kept = path.stat().st_mtime_ns
    two.run()
    assert path.stat().st_mtime_ns == kept


def test_the_images_and_the_model_are_never_the_output(
    two: Challenge, loads: list[Path], tmp_path: Path
) -> None:
    model, images = tmp_path / "m", two.json.parent / "images"
    model.mkdir()
    (model / "plans.json").write_text("{}")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a_pred.nii.gz").symlink_to(images / "a.nii.gz")
    for output in (images, model, outside):
        with pytest.raises(OutputError, match="never written to"):
            submit(two.json.parent, output, model=model, options=PredictOptions())
    report = SubmitOptions(report=model / "plans.json")
    with pytest.raises(OutputError, match=r"plans\.json.*--report"):
        submit(
            two.json.parent, two.output, model=model, options=PredictOptions(), submission=report
        )
    assert loads == [] and (model / "plans.json").read_text() == "{}"
