"""Thumbnails, and patients who share an image."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.data.case import Case
from nnunet_prompt.data.grids import OnGrid
from nnunet_prompt.dataset_conversion.care.duplicates import Patients, merge_patients, thumbnail
from nnunet_prompt.dataset_conversion.care.inspect import Examined, Inspection
from nnunet_prompt.io.nifti import NiftiVolume

SHAPE = (9, 7, 5)


def volume(array: np.ndarray, affine: np.ndarray | None = None) -> NiftiVolume:
    place = np.eye(4) if affine is None else affine
    return NiftiVolume(Path("x.nii"), array.astype(np.float32), place, None, array.shape)


def test_a_thumbnail_is_made_of_means() -> None:
    array = np.zeros((64, 32, 16))
    array[0, 0, 0] = 2  # half of the first box
    seen = thumbnail(volume(array)).reshape(32, 32, 16)
    assert np.unravel_index(seen.argmax(), seen.shape) == (0, 0, 0)
    assert seen.sum() == pytest.approx(0, abs=1e-4)
    assert np.linalg.norm(seen) == pytest.approx(1)
    later = np.zeros((64, 32, 16))
    later[1, 0, 0] = 5  # the other half of it
    assert np.allclose(thumbnail(volume(later)), seen.ravel())


def test_a_thumbnail_knows_neither_spacing_nor_brightness_nor_storage_order() -> None:
    array = np.random.default_rng(1).random((9, 7, 5))
    seen = thumbnail(volume(array))
    assert np.allclose(thumbnail(volume(array * 3 + 100, np.diag([2.0, 2, 9, 1]))), seen, atol=1e-5)
    turned = array.transpose(2, 0, 1)[::-1]  # axes superior (reversed), right, anterior
    affine = np.array([[0.0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, 4], [0, 0, 0, 1]])
    assert np.allclose(thumbnail(volume(turned, affine)), seen, atol=1e-6)
    assert abs(thumbnail(volume(array[::-1])) @ seen) < 0.5


def test_one_patient_per_image() -> None:
    rng = np.random.default_rng(2)
    first, second, flat = rng.random((6, 5, 4)), rng.random((6, 5, 4)), np.full((6, 5, 4), 7.0)
    patients = Patients()
    shown = [first, second, first + rng.normal(0, 1e-3, first.shape), flat, flat]
    names = [patients.patient_of(f"c{i}", thumbnail(volume(a))) for i, a in enumerate(shown)]
    assert names == ["c0", "c1", "c0", "c3", "c4"]  # two empty images show nothing in common


class TestMerge:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.root = tmp_path

    def found(
        self, name: str, patient: str, seed: int, *, task: str = "myops", turned: bool = False
    ) -> Examined:
        """A case whose image is that of `seed`; stored with other axes first if `turned`."""
        array = np.random.default_rng(seed).integers(0, 1000, SHAPE).astype(np.int16)
        affine = np.eye(4)
        if turned:
            array, affine = array.transpose(2, 0, 1), np.eye(4)[:, [2, 0, 1, 3]]
        path = self.root / f"{name}.nii"
        nib.Nifti1Image(array, affine).to_filename(path)
        inspection = Inspection(name, shape=(*array.shape, 1))
        return Examined(inspection, Case(name, (path,), patient=patient, task=task))

    def patients(self, found: list[Examined]) -> list[str | None]:
        return [e.case.patient for e in merge_patients(found) if e.case is not None]

    def test_one_image_in_two_tasks_makes_one_patient_of_all_their_cases(self) -> None:
        found = [
            self.found("a_C0", "a", 1),
            self.found("a_LGE", "a", 2),
            self.found("b", "b", 2, task="whs", turned=True),
            self.found("b2", "b", 3, task="whs"),
            self.found("c", "c", 4, task="liqa"),
        ]
        assert self.patients(found) == ["a", "a", "a", "a", "c"]
        notes = [e.inspection.notes for e in merge_patients(found)]
        assert notes == [
            (),
            (),
            ("b and a share an image: they are one patient",),
            ("b and a share an image: they are one patient",),
            (),
        ]

    def test_a_chain_is_one_patient(self) -> None:
        found = [
            self.found("c", "c", 1),
            self.found("b1", "b", 1),
            self.found("b2", "b", 2),
            self.found("a", "a", 2),
        ]
        assert self.patients(found) == ["a", "a", "a", "a"]

    def test_only_images_of_a_shape_that_two_patients_have_are_read(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: list[str] = []

        def seen(path: Path) -> NiftiVolume:
            read.append(path.name)
            return volume(np.zeros(SHAPE))

        monkeypatch.setattr("nnunet_prompt.dataset_conversion.care.duplicates.read_nifti", seen)
        other = self.found("other", "other", 1)
        other = Examined(Inspection("other", shape=(9, 7, 6)), other.case)
        one = [self.found(f"a{i}", "a", i) for i in range(2)]
        assert merge_patients([*one, other]) == [*one, other]
        atria = [self.found(f"la{i}", f"la{i}", 1, task="lascarqs") for i in range(2)]
        merge_patients(atria)  # their converter has compared them
        assert read == []
        merge_patients([*one, self.found("b", "b", 1)])
        assert sorted(read) == ["a0.nii", "a1.nii", "b.nii"]

    def test_images_that_cannot_be_read_and_empty_ones_are_no_duplicates(self) -> None:
        found = [self.found(n, n, 1) for n in ("a", "b", "c")]
        for name in ("a", "b"):
            path = self.root / f"{name}.nii"
            path.write_bytes(path.read_bytes()[:-8])
        assert self.patients(found) == ["a", "b", "c"]

    def test_the_file_of_a_resampled_image_is_compared(self) -> None:
        a, b = self.found("a", "a", 1), self.found("b", "b", 1)
        assert a.case is not None
        moved = Case("a", (OnGrid(self.root / "a.nii", self.root / "b.nii"),), patient="a")
        assert self.patients([Examined(a.inspection, moved), b]) == ["a", "a"]

    def test_nothing_to_merge(self) -> None:
        assert merge_patients([]) == []
        left_out = Examined(Inspection("a", left_out="no label map"))
        assert merge_patients([left_out]) == [left_out]
