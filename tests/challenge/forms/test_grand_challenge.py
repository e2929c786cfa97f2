"""A job of Grand Challenge is answered as CARE's form answers the same image; what is wrong with it is one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from nnunet_prompt.challenge.simulate import simulate_prompts_json
from nnunet_prompt.cli.main import main
from nnunet_prompt.io.image_cases import without_ending
from nnunet_prompt.io.nifti import read_grid
from nnunet_prompt.phantom.heart import write_phantoms
from tests.challenge.forms.jobs import (
    AFFINE,
    IMAGE,
    SHAPE,
    lively_model,
    noise,
    points,
    read_mask,
    save_image,
    to_mha,
    write_job,
)
from tests.helpers.each import each

pytestmark = pytest.mark.slow

HOW = ("-device", "cpu", "--disable_tta", "--order", "xy", "--base", "0", "--inclusive", "no")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lively_model(tmp_path_factory.mktemp("model") / "tarball" / "some_trainer")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job with one image and a point in it, in mm (LPS)."""
    folder = tmp_path / "input"
    save_image(folder / IMAGE, noise())
    at = (AFFINE @ (4, 5, 3, 1))[:3] * (-1, -1, 1)
    return write_job(folder, {"medical-image": folder / IMAGE, "points": points(tuple(at))})


def submit(job: Path, model: Path, *more: str, form: str = "grand-challenge") -> int:
    given = ("-i", str(job), "-o", str(job.parent / "output"), "-m", str(model))
    return main(["submit", "--form", form, *given, *HOW, *more])


def mask_of(job: Path, name: str = "images/segmentation/output.mha") -> Path:
    return job.parent / "output" / name


@pytest.fixture(scope="module")
def hearts(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantom hearts of two centres and what CARE's form answers to them, in `masks` beside them."""
    folder = tmp_path_factory.mktemp("hearts") / "input"
    write_phantoms(folder, 2, part="test")
    simulate_prompts_json(folder / "labels", folder / "prompts.json")
    given = ["-i", str(folder), "-o", str(folder.parent / "masks"), "-m", str(model)]
    assert main(["submit", *given, *HOW, "--strict"]) == 0
    return folder


@each("ending", [".mha", ".nii.gz"])
@each("case", [0, 1])
@pytest.mark.slow
def test_a_phantom_gets_the_mask_of_cares_form(
    hearts: Path, model: Path, tmp_path: Path, case: int, ending: str
) -> None:
    source = sorted((hearts / "images").iterdir())[case]
    name = without_ending(source.name)
    image = tmp_path / "input" / "images" / "medical-image" / f"c0ffee{ending}"
    image.parent.mkdir(parents=True)
    if ending == ".mha":
        to_mha(source, image)
    else:
        shutil.copy(source, image)
    said = {name: json.loads((hearts / "prompts.json").read_text())[name]}
    job = write_job(tmp_path / "input", {"medical-image": image, "prompts": said})
    sockets = tmp_path / "sockets.json"
    sockets.write_text(
        json.dumps(
            {
                "inputs": {"medical-image": {"role": "image"}, "prompts": {"role": "prompts"}},
                "outputs": {"heart": {"file": f"output{ending}"}},
            }
        )
    )
    assert submit(job, model.parent, "--strict", "--sockets", str(sockets)) == 0
    expected = np.asarray(nib.load(hearts.parent / "masks" / f"{name}_pred.nii.gz").dataobj)
    answered = mask_of(job, f"images/heart/output{ending}")
    assert expected.any()
    assert np.array_equal(read_mask(answered), expected)
    grid = sitk.ReadImage(str(answered))
    mine = sitk.ReadImage(str(source))
    assert grid.GetSize() == mine.GetSize()
    for what in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert np.allclose(getattr(grid, what)(), getattr(mine, what)(), atol=1e-5), what
    if ending == ".nii.gz":
        assert np.array_equal(read_grid(answered).affine, read_grid(source).affine)


def test_a_point_in_mm_and_one_in_voxels_get_the_same_mask(job: Path, model: Path) -> None:
    assert submit(job, model) == 0
    first = read_mask(mask_of(job))
    assert set(np.unique(first)) == {0, 500}
    assert first.shape == SHAPE
    (job / "points.json").write_text(json.dumps(points((4, 5, 3))))
    sockets = {
        "inputs": {
            "medical-image": {"role": "image"},
            "points": {"role": "annotation", "space": "voxel"},
        },
        "outputs": {"a": {"values": {"ball": 3}}, "b": {"values": {"500": 7}, "path": "images/c"}},
    }
    (model.parent / "sockets.json").write_text(json.dumps(sockets))
    try:
        assert submit(job, model.parent) == 0
    finally:
        (model.parent / "sockets.json").unlink()
    assert np.array_equal(read_mask(mask_of(job, "images/a/output.mha")), first // 500 * 3)
    assert np.array_equal(read_mask(mask_of(job, "images/c/output.mha")), first // 500 * 7)


def test_without_prompts_the_answer_is_the_models_structures(job: Path, model: Path) -> None:
    write_job(job, {"medical-image": job / IMAGE})
    assert submit(job, model) == 0
    found = set(np.unique(read_mask(mask_of(job))).tolist())
    assert found <= {0, 500, 200, 2221} and len(found) > 1


def test_the_mask_of_an_earlier_round_is_corrected(job: Path, model: Path) -> None:
    before = np.zeros(SHAPE, np.uint8)
    before[6:, 8:, :2] = 200
    mask = save_image(job / "images" / "previous-segmentation" / "m.mha", before)
    write_job(
        job,
        {
            "medical-image": job / IMAGE,
            "points": json.loads((job / "points.json").read_text()),
            "previous-segmentation": mask,
        },
    )
    assert submit(job, model) == 0
    answered = read_mask(mask_of(job))
    assert answered[4, 5, 3] == 500
    assert (answered[(before == 200) & (answered != 500)] == 200).all()


def test_the_same_paths_are_answered_anew(job: Path, model: Path) -> None:
    assert submit(job, model) == 0
    first = read_mask(mask_of(job))
    (job / "points.json").write_text(json.dumps(points((-20.0, 7.0, 11.0))))
    assert submit(job, model) == 0
    assert not np.array_equal(read_mask(mask_of(job)), first)


def test_the_report_names_the_image_as_it_was_uploaded(
    job: Path, model: Path, tmp_path: Path
) -> None:
    inputs = json.loads((job / "inputs.json").read_text())
    inputs[0]["image"]["name"] = "patient7.mha"
    inputs[0]["interface"] = inputs[0].pop("socket")  # as older jobs have it
    (job / "inputs.json").write_text(json.dumps(inputs))
    assert submit(job, model, "--report", str(tmp_path / "report.json")) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report["cases"]) == ["patient7"]
    assert report["cases"]["patient7"]["status"] == "done"


def _no_inputs(job: Path) -> None:
    (job / "inputs.json").unlink()


def _changed(change: Any) -> Any:
    def edit(job: Path) -> None:
        path = job / "inputs.json"
        content = json.loads(path.read_text())
        changed = change(content)
        path.write_text(json.dumps(content if changed is None else changed))

    return edit


def _text(text: str) -> Any:
    return lambda job: (job / "inputs.json").write_text(text)


WRONG: list[tuple[Any, str]] = [
    (_no_inputs, "inputs.json: not found; the platform writes it"),
    (_text("["), "inputs.json: not readable as JSON"),
    (_text("[]"), "inputs.json: expected a list of sockets, found []"),
    (_text('{"a": 1}'), "inputs.json: expected a list of sockets, found {'a': 1}"),
    (_text("[7]"), "[0]: socket.slug: expected the slug of a socket, found 7"),
    (_changed(lambda c: c[0]["socket"].update(slug="")), "[0]: socket.slug: expected the slug"),
    (
        _changed(lambda c: c[0]["socket"].update(slug="ct-imagge")),
        "[0]: unknown slug 'ct-imagge'; did you mean ct-image",
    ),
    (_changed(lambda c: [*c, c[0]]), "the slug 'medical-image' is listed twice"),
    (
        _changed(lambda c: c[0]["socket"].update(relative_path="../x")),
        "socket.relative_path: expected a path below the folder, found '../x'",
    ),
    (
        _changed(lambda c: c[0]["socket"].update(relative_path=7)),
        "socket.relative_path: expected a text, found 7",
    ),
    (_changed(lambda c: c[1:]), "the job has no image"),
    (lambda job: (job / IMAGE).unlink(), "socket 'medical-image': expected one image that ends in"),
    (
        lambda job: shutil.copy(job / IMAGE, (job / IMAGE).with_name("other.mha")),
        "found 0d1f.mha, other.mha",
    ),
    (lambda job: (job / IMAGE).write_bytes(b"no image"), "cannot be read by SimpleITK"),
    (
        lambda job: (job / "points.json").write_text('{"type": "Angle"}'),
        "points: type: expected one of Point, Multiple points",
    ),
    (
        lambda job: (job / "points.json").write_text(json.dumps(points((0, 0, 0), name="rib"))),
        "no label is named",
    ),
    (
        lambda job: (job / "points.json").write_text(json.dumps(points((900, 0, 0)))),
        "lies outside the image",
    ),
]


@each(("wrong", "line"), WRONG)
def test_a_wrong_job_is_one_line_and_no_mask(
    job: Path, model: Path, wrong: Any, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong(job)
    assert submit(job, model) == 1
    errors = [one for one in capsys.readouterr().err.splitlines() if "error" in one]
    assert len(errors) == 1 and line in errors[0], errors
    assert not mask_of(job).exists()


@each("what", ["nothing", "empty", "a file", "two models"])
def test_missing_weights_are_one_line(
    job: Path, model: Path, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "weights"
    if what != "nothing":
        folder.mkdir()
    if what == "a file":
        (folder / "readme.txt").write_text("no model")
    for name in ("a", "b") if what == "two models" else ():
        shutil.copytree(model, folder / name)
    assert submit(job, folder) == 1
    (line,) = capsys.readouterr().err.splitlines()
    expected = "expected one model, found 2: a, b" if what == "two models" else "no weights: "
    assert f"error: {folder}: {expected}" in line


def test_more_images_than_the_model_takes(
    job: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pet = save_image(job / "images" / "pet-image" / "p.mha", noise(1))
    write_job(job, {"medical-image": job / IMAGE, "pet-image": pet})
    assert submit(job, model) == 1
    assert "takes 1 image channel(s), the job has 2: medical-image, pet-image" in (
        capsys.readouterr().err
    )


def test_two_channels_reach_the_model_in_their_order(job: Path, tmp_path: Path) -> None:
    model = lively_model(tmp_path / "two", channels=2)
    pet = save_image(job / "images" / "pet" / "p.nii.gz", noise(1))
    ct = save_image(job / "images" / "ct" / "c.mha", noise(2))
    write_job(job, {"pet": pet, "ct": ct})
    assert submit(job, model) == 0
    first = read_mask(mask_of(job))
    predicted = tmp_path / "predicted"
    for i, array in enumerate((noise(2), noise(1))):
        save_image(tmp_path / "images" / f"a_{i:04d}.nii.gz", array)
    given = ["-i", str(tmp_path / "images"), "-o", str(predicted), "-m", str(model)]
    assert main(["predict", *given, *HOW[:3]]) == 0
    assert np.array_equal(read_mask(predicted / "a.nii.gz"), first)
    assert first.any()


def test_options_that_do_not_fit_the_form(
    job: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(job, model, "--check", "out") == 1
    assert "--check: validates masks of the form care" in capsys.readouterr().err
    assert submit(job, model, "--sockets", "s.json", form="care") == 1
    assert (
        "--sockets: is for the forms grand-challenge and autopet, found --form care"
        in capsys.readouterr().err
    )
    given = ["-i", str(job), "-o", str(job / "out"), "-m", str(model)]
    assert main(["submit", "--form", "grand-challenge", *given]) == 1
    assert "must lie outside the input" in capsys.readouterr().err
