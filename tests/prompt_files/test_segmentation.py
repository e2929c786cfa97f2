"""Rough masks as ITK-SNAP and 3D Slicer write them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import PromptFileError
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.io.nifti import NiftiVolume, read_nifti
from nnunet_prompt.prompt_files.prompt_file import load_prompts
from nnunet_prompt.prompts.types import CasePrompts
from tests.helpers.each import each

SHAPE = (4, 6, 3)
AFFINE = np.array([[-2.0, 0, 0, 10], [0, -3, 0, 20], [0, 0, 5, -30], [0, 0, 0, 1]])
TABLE = StructureTable((Structure("LV", 1, (1,), 500), Structure("R\u00fccken", 2, (2,), 7)))


@pytest.fixture
def image(tmp_path: Path) -> NiftiVolume:
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.float32), AFFINE), path)
    return read_nifti(path)


def write_seg(
    path: Path, array: Any, *segments: tuple[str, int, int], origin: Any = (-10, -20, -30)
) -> Path:
    """A .seg.nrrd of Slicer; `array` is (X, Y, Z) or (layers, X, Y, Z), its axes along L, P and S."""
    path.parent.mkdir(exist_ok=True)
    array = np.asarray(array, np.uint8)
    layered = array.ndim == 4
    lines = [
        "NRRD0004",
        "type: unsigned char",
        f"dimension: {array.ndim}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, array.shape))}",
        f"space directions: {'none ' * layered}(2,0,0) (0,3,0) (0,0,5)",
        f"kinds: {'list ' * layered}domain domain domain",
        "encoding: gzip",
        f"space origin: ({','.join(map(str, origin))})",
    ]
    for i, (name, value, layer) in enumerate(segments):
        fields = {"ID": f"Segment_{i + 1}", "Name": name, "LabelValue": value, "Layer": layer}
        lines += [f"Segment{i}_{key}:={value}" for key, value in fields.items()]
        lines.append(f"Segment{i}_Extent:=0 3 0 5 0 2")
    lines.append("Segmentation_ContainedRepresentationNames:=Binary labelmap|")
    head = "\n".join(lines) + "\n\n"
    path.write_bytes(head.encode() + gzip.compress(array.tobytes("F")))
    return path


def read(path: Path, image: NiftiVolume, notes: list[str] | None = None) -> CasePrompts:
    notes = [] if notes is None else notes
    file = load_prompts(path).for_images({"a": image.path}, table=TABLE, warn=notes.append)
    return file.prompts("a", image, warn=notes.append)


def voxels(prompts: CasePrompts) -> dict[int, Any]:
    assert prompts.frame == "file"
    found = {}
    for label, one in prompts.labels.items():
        assert one.mask is not None and not (one.points or one.boxes or one.scribbles)
        found[label] = np.argwhere(one.mask).tolist()
    return found


def map_of(*labels: tuple[tuple[int, int, int], int], shape: Any = SHAPE) -> Any:
    array = np.zeros(shape, np.uint8)
    for position, value in labels:
        array[position] = value
    return array


def test_a_label_map_has_a_mask_for_each_value(tmp_path: Path, image: NiftiVolume) -> None:
    path = tmp_path / "p" / "a.nii.gz"
    path.parent.mkdir()
    array = map_of(((1, 2, 0), 7), ((3, 5, 2), 200))
    nib.save(nib.Nifti1Image(array, AFFINE), path)
    assert voxels(read(path, image)) == {7: [[1, 2, 0]], 200: [[3, 5, 2]]}


def test_the_name_of_the_file_may_say_what_its_one_value_is(
    tmp_path: Path, image: NiftiVolume
) -> None:
    (tmp_path / "p").mkdir()
    path = tmp_path / "p" / "a_LV.nii.gz"
    nib.save(nib.Nifti1Image(map_of(((1, 2, 0), 1)), AFFINE), path)
    assert voxels(read(path, image)) == {500: [[1, 2, 0]]}
    nib.save(nib.Nifti1Image(map_of(((1, 2, 0), 1), ((3, 5, 2), 2)), AFFINE), path)
    assert voxels(read(path, image)) == {1: [[1, 2, 0]], 2: [[3, 5, 2]]}


def test_segments_by_name(tmp_path: Path, image: NiftiVolume) -> None:
    array = map_of(((1, 2, 0), 1), ((3, 5, 2), 2))
    path = write_seg(tmp_path / "p/a.seg.nrrd", array, ("Ru\u0308cken", 1, 0), ("LV", 2, 0))
    assert voxels(read(path, image)) == {7: [[1, 2, 0]], 500: [[3, 5, 2]]}


def test_segments_that_overlap_lie_in_layers(tmp_path: Path, image: NiftiVolume) -> None:
    layers = np.stack([map_of(((1, 2, 0), 1), ((3, 5, 2), 1)), map_of(((1, 2, 0), 1))])
    path = write_seg(tmp_path / "p/a.seg.nrrd", layers, ("LV", 1, 0), ("7", 1, 1))
    assert voxels(read(path, image)) == {500: [[1, 2, 0], [3, 5, 2]], 7: [[1, 2, 0]]}


def test_a_segment_whose_name_is_no_label(tmp_path: Path, image: NiftiVolume) -> None:
    notes: list[str] = []
    array = map_of(((1, 2, 0), 3))
    path = write_seg(tmp_path / "p/a.seg.nrrd", array, ("Segment_1", 3, 0))
    assert voxels(read(path, image, notes)) == {3: [[1, 2, 0]]}
    assert len(notes) == 1 and "its name is not a label; taken as label 3" in notes[0]
    assert list(read(path.rename(path.with_name("a_LV.seg.nrrd")), image).labels) == [500]


def test_a_segmentation_that_holds_a_part_of_the_grid(tmp_path: Path, image: NiftiVolume) -> None:
    notes: list[str] = []
    part = map_of(((0, 0, 0), 1), ((1, 3, 1), 1), shape=(2, 4, 2))
    corner = (-10 + 2, -20 + 2 * 3, -30 + 5)  # voxel (1, 2, 1)
    path = write_seg(tmp_path / "p/a.seg.nrrd", part, ("LV", 1, 0), origin=corner)
    assert voxels(read(path, image, notes)) == {500: [[1, 2, 1], [2, 5, 2]]}
    assert len(notes) == 1 and "another geometry" in notes[0]
    write_seg(path, part, ("LV", 1, 0), origin=(500, 0, 0))
    with pytest.raises(PromptFileError, match="lies outside the image"):
        read(path, image)


def test_a_segment_that_is_not_the_label(tmp_path: Path, image: NiftiVolume) -> None:
    array = map_of(((1, 2, 0), 1), ((3, 5, 2), 2), ((0, 0, 1), 3))
    segments = (("LV", 1, 0), ("LV-neg", 2, 0), ("LV negative", 3, 0))
    one = read(write_seg(tmp_path / "p/a.seg.nrrd", array, *segments), image).labels[500]
    assert one.mask is not None and np.argwhere(one.mask).tolist() == [[1, 2, 0]]
    assert one.negative_mask is not None
    assert np.argwhere(one.negative_mask).tolist() == [[0, 0, 1], [3, 5, 2]]


@each(
    ("segments", "message"),
    [
        ([("LV", 1, 3)], "segment 'LV' is in layer 3"),
        ([("LV-neg", 1, 2)], "segment 'LV-neg' is in layer 2"),
    ],
)
def test_what_is_refused(tmp_path: Path, image: NiftiVolume, segments: Any, message: str) -> None:
    path = write_seg(tmp_path / "p/a.seg.nrrd", map_of(((1, 2, 0), 1)), *segments)
    with pytest.raises(PromptFileError, match=message) as error:
        read(path, image)
    assert "a.seg.nrrd" in str(error.value) and "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path, image: NiftiVolume) -> None:
    path = write_seg(tmp_path / "p/a.seg.nrrd", np.zeros(SHAPE))
    with pytest.raises(PromptFileError, match="holds no segment"):
        read(path, image)
    path.write_bytes(b"NRRD0004\nnothing")
    with pytest.raises(PromptFileError, match=r"a\.seg\.nrrd: cannot be read") as error:
        read(path, image)
    assert "\n" not in str(error.value)
    with pytest.raises(PromptFileError, match="no such file"):
        load_prompts(tmp_path / "none.seg.nrrd")
