"""The test set: what a container gets and what it never sees, and prompts that lie in the hidden labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nnunet_prompt.io.nifti import read_label_volume
from nnunet_prompt.phantom.record import save_volume
from nnunet_prompt.phantom.scanner import Volume
from nnunet_prompt.phantom.test_set import files_of, write_prompts
from nnunet_prompt.prompts.frames import pls_map

pytestmark = pytest.mark.slow

AFFINE = np.array([[1.0, 0, 0, 5], [0, 0, -2.0, 6], [0, 3.0, 0, 7], [0, 0, 0, 1]])


def test_names() -> None:
    image, labels = Volume(np.zeros((2, 2, 2)), AFFINE), Volume(np.ones((2, 2, 2)), AFFINE)
    assert files_of("Case ID2", {"C0": image, "LGE": image}, labels) == {
        "test/images/Case ID2_C0.nii.gz": image,
        "test/images/Case ID2_LGE.nii.gz": image,
        "hidden_labels/Case ID2.nii.gz": labels,
    }
    assert list(files_of("Case ID1", {"": image}, labels)) == [
        "test/images/Case ID1.nii.gz",
        "hidden_labels/Case ID1.nii.gz",
    ]


def test_prompts_lie_in_the_hidden_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "hidden_labels").mkdir()
    for i in (1, 2):
        labels = np.where(rng.random((6, 5, 4)) < 0.2, 500, 0).astype(np.uint16)
        labels[2:4, 1:3, i] = 2221
        save_volume(tmp_path / f"hidden_labels/Case ID{i}.nii.gz", Volume(labels, AFFINE))
    write_prompts(tmp_path, seed=3)
    prompts = json.loads((tmp_path / "test/prompts.json").read_text())
    assert list(prompts) == ["Case ID1", "Case ID2"]
    for case, slices in prompts.items():
        volume = read_label_volume(tmp_path / f"hidden_labels/{case}.nii.gz")
        pls = pls_map(volume.affine, volume.shape).apply(volume.array)
        assert [int(k) for k in slices] == list(range(pls.shape[2]))
        for k, named in slices.items():
            plane = pls[..., int(k)]
            assert {int(v) for v in named or {}} == set(np.unique(plane)) - {0}
            for value, (box, points) in (named or {}).items():
                assert 1 <= len(points) <= 5
                assert all(plane[x, y] == int(value) for x, y in points)
                inside = np.argwhere(plane == int(value))
                assert box == [*inside.min(axis=0), *(inside.max(axis=0) + 1)]
