"""Resampling as products of tensors is nnU-Net's, to 1e-5 of the range."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from nnunet_prompt.sliding_window.device_memory import send
from nnunet_prompt.sliding_window.lazy_image import LazyImage, prepare
from nnunet_prompt.sliding_window.resampling import resampler
from nnunet_prompt.sliding_window.torch_resampling import Matrices, resample_image
from tests.helpers.each import each
from tests.sliding_window.test_lazy_image import channel, managers, stock

CPU = torch.device("cpu")
SPACINGS = [(4.0, 1.5, 1.25), (8.0, 1.0, 2.0), (2.0, 2.0, 2.0), (1.0, 8.0, 1.3), (1.3, 1.0, 9.0)]


@each("spacing", SPACINGS)
@each("configuration", ["3d_fullres", "2d"])
@each("transpose", [(0, 1, 2), (2, 0, 1)])
def test_images_are_nnunets(spacing: Any, configuration: str, transpose: Any) -> None:
    plans, manager = managers(transpose, configuration)
    plans.plans["foreground_intensity_properties_per_channel"] = {"0": {}}
    data = [channel((11, 31, 26))]
    found = prepare(data, spacing, plans, manager)
    assert found is not None
    expected, _ = stock(data, spacing, plans, manager)
    image = resample_image(found[0], CPU).array
    assert image.shape == expected.shape and image.dtype == torch.float32
    assert float((image - expected).abs().max()) <= 1e-5 * float(expected.max() - expected.min())


def test_slab_by_slab_is_the_same(monkeypatch: Any) -> None:
    plans, manager = managers()
    found = prepare([channel()], (2.0, 2.0, 2.0), plans, manager)
    assert found is not None
    whole = resample_image(found[0], CPU).array
    monkeypatch.setattr("nnunet_prompt.sliding_window.torch_resampling.SEND", 1)
    assert torch.allclose(resample_image(found[0], CPU).array, whole, atol=1e-6)


@each("new_shape", [(9, 31, 26), (14, 20, 40), (3, 50, 7)])
@each("force", [None, True])
def test_logits_are_nnunets(new_shape: Any, force: bool | None) -> None:
    _, manager = managers()
    function = manager.resampling_fn_probabilities
    function.keywords["force_separate_z"] = force
    spacing, there = (4.0, 1.0, 1.0), (4.0 * 9 / new_shape[0], 1.0, 1.0)
    how = resampler(function, (9, 31, 26), new_shape, spacing, there)
    assert how is not None
    logits = torch.randn(1, 9, 31, 26, generator=torch.Generator().manual_seed(0))
    expected = np.asarray(function(logits, new_shape, spacing, there))[0]
    box = [(0, new_shape[0]), (1, new_shape[1] - 1), (2, new_shape[2])]
    source = how.source(box)
    block = logits[(0, *(slice(a, b) for a, b in source))]
    found = Matrices(how, CPU).part(block, [a for a, _ in source], box)
    inside = expected[tuple(slice(a, b) for a, b in box)]
    assert float(np.abs(found.numpy() - inside).max()) <= 1e-5 * float(np.ptp(expected))


def test_the_same_shape_is_not_resampled() -> None:
    plans, manager = managers()
    found = prepare([channel()], (4.0, 1.5, 1.25), plans, manager)
    assert found is not None and isinstance(found[0], LazyImage)
    assert np.array_equal(resample_image(found[0], CPU).array.numpy(), found[0].volume)


def test_nothing_is_copied_on_the_cpu() -> None:
    block = torch.zeros(3)
    assert send(block, CPU) is block
