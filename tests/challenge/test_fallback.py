from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.challenge.fallback import keep_allowed, mask_from_prompts, read_grid
from nnunet_prompt.errors import ImageError
from nnunet_prompt.prompts.model import Box, CasePrompts, Point, PromptSet


def test_boxes_are_filled_and_the_smaller_one_is_on_top() -> None:
    big = PromptSet(boxes=(Box((0, 1, 0), (3, 5, 1)),))
    small = PromptSet(boxes=(Box((1, 2, 0), (2, 4, 1)),))
    for labels in ({500: big, 20: small}, {20: small, 500: big}):
        mask = mask_from_prompts(CasePrompts(labels, "PLS", {}), (3, 6, 2))
        assert mask[..., 0].tolist() == [
            [0, 500, 500, 500, 500, 0],
            [0, 500, 20, 20, 500, 0],
            [0, 500, 500, 500, 500, 0],
        ]
        assert not mask[..., 1].any()


def test_a_disc_stands_for_points_only_where_there_is_no_box() -> None:
    one = PromptSet((Point((5, 5, 0)), Point((0, 0, 1))), (Box((0, 0, 1), (1, 2, 2)),))
    mask = mask_from_prompts(CasePrompts({7: one}, "PLS", {}), (20, 20, 2))
    assert mask[5, 9, 0] == mask[1, 5, 0] == 7
    assert mask[5, 10, 0] == mask[2, 8, 0] == 0
    assert np.argwhere(mask[..., 1]).tolist() == [[0, 0], [0, 1]]


def test_no_prompts_make_an_empty_mask() -> None:
    assert not mask_from_prompts(CasePrompts({}, "PLS", {}), (2, 3, 4)).any()


def test_only_labels_prompted_in_a_slice_are_kept() -> None:
    labels = np.array([1, 2, 3, 1])[:, None, None] * np.ones((1, 1, 3), int)
    prompts = CasePrompts({}, "PLS", {0: frozenset({1, 3}), 1: frozenset()})
    assert keep_allowed(labels, prompts)[:, 0].T.tolist() == [[1, 0, 3, 1], [0] * 4, [0] * 4]


def test_the_grid_of_a_truncated_image_is_still_known(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(np.ones((4, 5, 6, 1), np.float32), np.diag([1.0, 2, 3, 1])), path)
    path.write_bytes(path.read_bytes()[:400])
    grid = read_grid(path)
    assert grid.shape == (4, 5, 6) and grid.file_shape == (4, 5, 6, 1)
    assert grid.spacing_mm == (1, 2, 3)
    assert not grid.array.any()


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2000, 2000, 2000)])
def test_no_grid_for_several_volumes_or_absurd_sizes(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    path = tmp_path / "a.nii"
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    path.write_bytes(header.binaryblock + bytes(4))
    with pytest.raises(ImageError, match="no usable grid"):
        read_grid(path)


def test_no_grid_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"nothing")
    with pytest.raises(ImageError, match="header cannot be read"):
        read_grid(tmp_path / "a.nii.gz")
