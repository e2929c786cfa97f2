"""The function of nnU-Net's torchres planners as matrices."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from nnunetv2.preprocessing.resampling.resample_torch import resample_torch_fornnunet

from nnunet_prompt.sliding_window.resampling import resampler
from nnunet_prompt.sliding_window.torch_resampling import Matrices
from tests.helpers.each import each

TORCHRES = {
    "is_seg": False,
    "force_separate_z": False,
    "memefficient_seg_resampling": False,
}  # as nnUNetPlanner_torchres writes it
SHAPE = (9, 31, 26)


@each("changes", [{}, {"force_separate_z": None}, {"force_separate_z": True}])
@each("new_shape", [(14, 20, 40), (3, 50, 7), (9, 40, 30)])
@each("spacing", [(9.0, 1.0, 1.0), (1.0, 1.0, 1.0)])
def test_torchres(changes: dict[str, Any], new_shape: Any, spacing: Any) -> None:
    function = partial(resample_torch_fornnunet, **{**TORCHRES, **changes})
    there = [s * a / b for s, a, b in zip(spacing, SHAPE, new_shape, strict=True)]
    volume = torch.randn((1, *SHAPE), generator=torch.Generator().manual_seed(0))
    expected = np.asarray(function(volume.clone(), new_shape, spacing, there))[0]
    how = resampler(function, SHAPE, new_shape, spacing, there)
    assert how is not None and not how.clips
    box = [(0, n) for n in new_shape]
    found = how.part(volume[0].numpy(), (0, 0, 0), box)
    assert np.abs(found - expected).max() <= 1e-5 * np.ptp(expected)
    products = Matrices(how, torch.device("cpu")).part(volume[0], (0, 0, 0), box)
    assert np.abs(products.numpy() - expected).max() <= 1e-5 * np.ptp(expected)


@each("changes", [{"mode": "nearest"}, {"is_seg": True}])
def test_what_is_not_linear(changes: dict[str, Any]) -> None:
    function = partial(resample_torch_fornnunet, **{**TORCHRES, **changes})
    assert resampler(function, SHAPE, (9, 40, 30), (1, 1, 1), (1, 1, 1)) is None
