"""An output folder as `submit` leaves it is in order, and every way to spoil it is one line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.challenge.check import Checked, check_output
from nnunet_prompt.challenge.submit import SubmitOptions, run_cases
from nnunet_prompt.common.errors import NNUNetPromptError, PromptFileError
from nnunet_prompt.inference.object_logits import ObjectLogits
from nnunet_prompt.io.nifti import read_nifti, write_labels_like
from nnunet_prompt.prompt_files.prompts_json import read_prompts_json
from nnunet_prompt.prompt_files.prompts_json_convention import GivenConvention
from nnunet_prompt.prompts.frames import pls_map
from tests.helpers.each import each
from tests.helpers.predictors import idle_engine

pytestmark = pytest.mark.slow

SHAPE = (4, 6, 5)
LPS = np.diag([-1.5, -1.25, 8.0, 1.0])
GIVEN = GivenConvention("xy", 0, False)


def save(path: Path, array: npt.NDArray[Any], affine: Any = LPS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def prompts() -> dict[str, Any]:
    """Label 500 in slices 1 and 2, label 2221 in slice 2; slices 0 and 4 are null, slice 3 is not named."""
    box = [[0, 0, 2, 2], []]
    return {"0": None, "1": {"500": box}, "2": {"500": box, "2221": box}, "4": None}


def mask() -> npt.NDArray[np.uint16]:
    """What the prompts allow, in the file frame, whose first two axes are PLS turned round."""
    labels = np.zeros(SHAPE, np.uint16)
    labels[:2, :3, 1:3] = 500
    labels[3, 3:, 2] = 2221
    return labels


class Folder:
    """INPUT with the cases and OUTPUT with their masks, all in order."""

    def __init__(self, folder: Path, *cases: str) -> None:
        self.input, self.output = folder / "input", folder / "output"
        self.say({case: prompts() for case in cases})
        for case in cases:
            self.answer(self.image(f"{case}.nii.gz"), f"{case}_pred.nii.gz")

    def image(self, name: str, shape: tuple[int, ...] = SHAPE, affine: Any = LPS) -> Path:
        return save(self.input / "images" / name, np.zeros(shape, np.float32), affine)

    def answer(self, image: Path, name: str, labels: npt.NDArray[Any] | None = None) -> None:
        self.output.mkdir(exist_ok=True)
        write_labels_like(
            self.output / name, mask() if labels is None else labels, read_nifti(image)
        )

    def say(self, content: dict[str, Any]) -> None:
        self.input.mkdir(parents=True, exist_ok=True)
        (self.input / "prompts.json").write_text(json.dumps(content))

    def check(self, given: GivenConvention = GIVEN) -> Checked:
        before = sorted(p.name for p in self.output.iterdir())
        checked = check_output(self.input, self.output, given=given)
        assert sorted(p.name for p in self.output.iterdir()) == before
        return checked

    def problems(self, given: GivenConvention = GIVEN) -> list[str]:
        problems = self.check(given).problems
        assert all("\n" not in line for line in problems)
        return list(problems)


@pytest.fixture
def two(tmp_path: Path) -> Folder:
    return Folder(tmp_path, "a", "b")


def change(folder: Folder, labels: npt.NDArray[Any], affine: Any = LPS) -> None:
    save(folder.output / "a_pred.nii.gz", labels, affine)


class TestInOrder:
    def test_nothing_to_say(self, two: Folder) -> None:
        assert two.check() == Checked(2, ())

    def test_empty_masks_and_a_case_without_prompts(self, two: Folder) -> None:
        two.say({"a": prompts()})
        assert two.problems() == [
            "b_pred.nii.gz: holds the value 500, expected 0 or a label that its prompts name",
            "b_pred.nii.gz: holds the value 2221, expected 0 or a label that its prompts name",
            "b_pred.nii.gz: is not 0 in slices 1, 2, for which there are no prompts",
        ]
        for name in ("a", "b"):
            image = two.input / "images" / f"{name}.nii.gz"
            two.answer(image, f"{name}_pred.nii.gz", np.zeros(SHAPE, np.uint8))
        assert two.problems() == []

    @each("axes", [("P", "L", "S"), ("S", "R", "A"), ("A", "I", "L")])
    def test_slices_are_those_of_pls(self, tmp_path: Path, axes: tuple[str, str, str]) -> None:
        start = nib.orientations.axcodes2ornt(axes)
        affine = np.diag([1.5, 1.25, 8.0, 1.0]) @ nib.orientations.inv_ornt_aff(start, SHAPE)
        folder = Folder(tmp_path)
        image = folder.image("a.nii.gz", affine=affine)
        folder.say({"a": prompts()})
        labels = np.zeros(SHAPE, np.uint16)
        pls_map(affine, SHAPE).apply(labels)[..., 1] = 500
        folder.answer(image, "a_pred.nii.gz", labels)
        assert folder.problems() == []
        pls_map(affine, SHAPE).apply(labels)[..., 0] = 500
        folder.answer(image, "a_pred.nii.gz", labels)
        assert folder.problems() == [
            "a_pred.nii.gz: is not 0 in slice 0, for which there are no prompts"
        ]

    def test_slices_are_read_as_submit_reads_them(self, two: Folder) -> None:
        assert two.check(GivenConvention()).guessed
        moved = {str(int(k) + 1): v for k, v in prompts().items()}
        two.say({"a": moved, "b": moved})
        assert two.problems(GivenConvention("xy", 1, False)) == []
        assert two.problems() == [
            f"{name}_pred.nii.gz: {problem}"
            for name in ("a", "b")
            for problem in (
                "holds label 2221 in slice 2, where it is not prompted",
                "is not 0 in slice 1, for which there are no prompts",
            )
        ]

    def test_a_fourth_axis_and_a_slice_axis_that_is_not_the_third(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path)
        image = folder.image("a.nii.gz", (*SHAPE, 1))
        folder.answer(image, "a_pred.nii.gz", np.zeros(SHAPE, np.uint8))
        # six slices run over axis 0 of PLS, which is axis 1 of the file, and not over the five of axis 2
        folder.say({"a": {str(k): {"7": [[0, 0, 2, 2], []]} if k == 5 else None for k in range(6)}})
        assert folder.problems() == []
        labels = np.zeros(SHAPE, np.uint8)
        labels[:, 5] = 7
        folder.answer(image, "a_pred.nii.gz", labels)
        assert folder.problems() == []
        labels[:, 3:5] = 7
        folder.answer(image, "a_pred.nii.gz", labels)
        assert folder.problems() == [
            "a_pred.nii.gz: is not 0 in slices 3, 4, for which there are no prompts"
        ]

    def test_sequences_of_a_patient_and_channels_are_one_case(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path)
        folder.say({"c": prompts(), "d": prompts()})
        for name in ("c_C0", "c_T2", "d_0000", "d_0001"):
            folder.image(f"{name}.nii.gz")
        lge = folder.image("c_LGE.nii.gz", affine=2 * LPS)
        folder.answer(lge, "c_pred.nii.gz")
        folder.answer(folder.input / "images" / "d_0000.nii.gz", "d_pred.nii.gz")
        assert folder.check() == Checked(2, ())
        folder.answer(folder.input / "images" / "c_C0.nii.gz", "c_pred.nii.gz")
        (problem,) = folder.problems()
        assert problem.startswith("c_pred.nii.gz: has the affine") and "c_LGE.nii.gz" in problem
        content = lge.read_bytes()
        lge.write_bytes(content[: len(content) // 2])  # then the grid is that of the next
        assert folder.problems() == []


def test_what_submit_writes_is_in_order_whatever_the_inputs_are(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for name in ("plain", "other", "p_C0", "p_LGE", "p_T2"):
        folder.image(f"{name}.nii.gz")
    folder.image("fourth.nii.gz", (*SHAPE, 1))
    path = folder.image("cut.nii")
    path.write_bytes(path.read_bytes()[:-50])
    lost: Any = nib.load(folder.image("lost.nii"))
    lost.header["srow_x"] = np.nan
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.float32), None, lost.header), lost.get_filename())
    cases = ("plain", "p", "fourth", "cut", "lost")
    folder.say({case: prompts() for case in cases} | {"other": {"1": {"7": [[0, 0, 99, 99], []]}}})
    loud = SimpleNamespace(
        n_image_channels=1,
        engine=idle_engine(),
        predict_prompts=lambda images, _: np.full(images[0].shape, 500),
        object_logits=lambda images, said: ObjectLogits(
            tuple(said.labels),
            (0, 0, 0),
            np.full((len(said.labels), *SHAPE), 9, np.float32),
            [(0, n) for n in SHAPE],
        ),
    )
    run_cases(
        loud,  # type: ignore[arg-type]
        read_prompts_json(folder.input / "prompts.json"),
        images=sorted((folder.input / "images").iterdir()),
        output_folder=folder.output,
        submission=SubmitOptions(convention=GIVEN),
    )
    assert folder.check() == Checked(6, ())


class TestNames:
    def test_a_missing_mask(self, two: Folder) -> None:
        (two.output / "b_pred.nii.gz").unlink()
        assert two.problems() == ["b_pred.nii.gz: is missing"]

    def test_files_that_do_not_belong_there(self, two: Folder) -> None:
        for name in ("report.json", "a.nii.gz", ".partial-12-a_pred.nii.gz"):
            (two.output / name).touch()
        (two.output / "old").mkdir()
        stranger = "is the mask of no case, and an evaluator may stumble over it; remove it"
        assert two.problems() == [
            ".partial-12-a_pred.nii.gz: left over from a run that was stopped; run submit again, or remove it",
            f"a.nii.gz: {stranger}",
            f"old: {stranger}",
            f"report.json: {stranger}",
        ]

    def test_prompts_without_an_image(self, two: Folder) -> None:
        two.say({name: prompts() for name in ("a", "b", "c")})
        assert two.problems() == ["prompts.json: names the case 'c', which has no image"]


class TestFiles:
    @each("content", [b"", b"nothing", b"\x1f\x8b" + bytes(40)])
    def test_what_cannot_be_read(self, two: Folder, content: bytes) -> None:
        (two.output / "a_pred.nii.gz").write_bytes(content)
        (problem,) = two.problems()
        assert problem.startswith("a_pred.nii.gz: cannot be checked: ")

    def test_a_truncated_mask_and_a_folder_in_its_place(self, two: Folder) -> None:
        path = two.output / "a_pred.nii.gz"
        path.write_bytes(path.read_bytes()[:-30])
        assert len(two.problems()) == 1
        path.unlink()
        path.mkdir()
        (problem,) = two.problems()
        assert problem.startswith("a_pred.nii.gz: cannot be checked: ")

    def test_a_bad_check_sum(self, two: Folder) -> None:
        path = two.output / "a_pred.nii.gz"
        content = bytearray(path.read_bytes())
        content[-8] ^= 1
        path.write_bytes(content)
        (problem,) = two.problems()
        assert "its end is damaged" in problem

    def test_an_image_that_cannot_be_read(self, two: Folder) -> None:
        (two.input / "images" / "a.nii.gz").write_bytes(b"nothing")
        (problem,) = two.problems()
        assert problem.startswith("a_pred.nii.gz: cannot be checked: ") and "a.nii.gz" in problem

    def test_an_image_with_a_damaged_affine_whose_mask_has_it_too(self, two: Folder) -> None:
        path = two.input / "images" / "a.nii.gz"
        image: Any = nib.load(path)
        image.header["srow_x"] = image.header["pixdim"][1:4] = np.nan
        content = nib.Nifti1Image(np.asarray(image.dataobj), None, image.header)
        nib.save(content, path)
        labels = nib.Nifti1Image(np.zeros(SHAPE, np.uint8), None, image.header)
        labels.set_data_dtype(np.uint8)
        nib.save(labels, two.output / "a_pred.nii.gz")
        assert two.problems() == []


class TestGrid:
    def test_another_shape(self, two: Folder) -> None:
        change(two, mask()[:3])
        assert two.problems() == [
            "a_pred.nii.gz: has the shape (3, 6, 5), expected that of a.nii.gz, (4, 6, 5)"
        ]
        change(two, mask()[..., None])
        assert two.problems() == [
            "a_pred.nii.gz: has the shape (4, 6, 5, 1), expected that of a.nii.gz, (4, 6, 5)"
        ]

    def test_another_affine(self, two: Folder) -> None:
        change(two, mask(), np.diag([-1.5, -1.25, 9.0, 1.0]))
        assert two.problems() == [
            "a_pred.nii.gz: has the affine [[-1.5, 0.0, 0.0, 0.0], [0.0, -1.25, 0.0, 0.0], [0.0, 0.0, 9.0, 0.0]],"
            " expected that of a.nii.gz, [[-1.5, 0.0, 0.0, 0.0], [0.0, -1.25, 0.0, 0.0], [0.0, 0.0, 8.0, 0.0]]"
        ]
        change(two, mask(), LPS + 1e-4 * np.eye(4)[[3, 0, 0, 0]])
        assert two.problems() == []


class TestLabels:
    def test_a_value_that_the_prompts_do_not_name(self, two: Folder) -> None:
        labels = mask()
        labels[0, 0, 1] = 9
        change(two, labels)
        assert two.problems() == [
            "a_pred.nii.gz: holds the value 9, expected 0 or a label that its prompts name"
        ]

    def test_null_slices_and_slices_that_are_not_named(self, two: Folder) -> None:
        labels = mask()
        labels[0, 0, [0, 3, 4]] = 500
        change(two, labels)
        assert two.problems() == [
            "a_pred.nii.gz: is not 0 in slices 0, 3, 4, for which there are no prompts"
        ]

    def test_a_label_in_a_slice_where_only_another_is_prompted(self, two: Folder) -> None:
        labels = mask()
        labels[3, 3, 1] = 2221
        change(two, labels)
        assert two.problems() == [
            "a_pred.nii.gz: holds label 2221 in slice 1, where it is not prompted"
        ]

    def test_many_slices_are_shortened(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path, "a")
        image = folder.image("a.nii.gz", (2, 2, 9))
        folder.answer(image, "a_pred.nii.gz", np.full((2, 2, 9), 500, np.uint16))
        assert folder.problems() == [
            "a_pred.nii.gz: is not 0 in slices 0, 3, 4, 5, 6, 7 and 1 more, for which there are no prompts"
        ]

    def test_types_that_are_no_integers(self, two: Folder) -> None:
        change(two, mask().astype(np.float32))
        assert two.problems() == ["a_pred.nii.gz: has the type float32, expected integers"]
        odd = mask().astype(np.float32)
        odd[0, 0, 1], odd[0, 1, 1] = 0.5, np.nan
        change(two, odd)
        assert two.problems() == [
            "a_pred.nii.gz: has the type float32, expected integers",
            "a_pred.nii.gz: holds 1 voxels that are not finite",
            "a_pred.nii.gz: holds the value 0.5, expected 0 or a label that its prompts name",
        ]

    def test_scaled_integers(self, two: Folder) -> None:
        stored = nib.Nifti1Image(mask().astype(np.int16) // 2, LPS).to_bytes()
        header = nib.Nifti1Header(stored[:348])
        header["scl_slope"], header["magic"] = 2, b"n+1"
        (two.output / "a_pred.nii.gz").write_bytes(gzip.compress(header.binaryblock + stored[348:]))
        found = two.problems()
        assert found[0] == (
            "a_pred.nii.gz: is scaled by its header (slope 2, intercept 0), expected plain values"
        )
        # 2221 is odd, so half of it is not
        assert found[1:] == [
            "a_pred.nii.gz: holds the value 2220, expected 0 or a label that its prompts name"
        ]


class TestFolders:
    def test_what_cannot_be_used_at_all(self, two: Folder, tmp_path: Path) -> None:
        with pytest.raises(NNUNetPromptError, match="none: no such folder; it must hold the masks"):
            check_output(two.input, tmp_path / "none")
        with pytest.raises(NNUNetPromptError, match="no such folder; it must hold the images"):
            check_output(tmp_path, two.output)
        (two.input / "prompts.json").write_text("{")
        with pytest.raises(PromptFileError, match="broken JSON"):
            check_output(two.input, two.output)
