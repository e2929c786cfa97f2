"""Both passes on a simulated device: what is copied there and back, and that nothing waits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnunet_prompt.inference import automatic
from nnunet_prompt.inference.places import Place
from nnunet_prompt.prompts.encode import Window
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, PromptSet, Scribble
from nnunet_prompt.sliding_window.lazy_image import LazyImage
from nnunet_prompt.sliding_window.torch_resampling import device_image
from tests.helpers.each import each
from tests.helpers.far_device import FAR, NEAR, Far, far_device
from tests.helpers.predictors import predictor, stored

SIZE = {"S": 37, "P": 33, "L": 29}
SPACING = {"S": 3.0, "P": 2.0, "L": 2.0}


class Three(nn.Module):
    """Three structures of what is bright, dark and in between; no weights, so it is on every device."""

    def forward(self, x: Tensor) -> Tensor:
        image = x[:, :1]
        return torch.cat([image, 3 * image - 0.6, 0.5 - 2 * image, image - 0.1], 1)


PLACES = {
    "device": Place("on it", FAR, FAR),
    "slab by slab": Place("image slab by slab", NEAR, FAR),
    "sums on the CPU": Place("network alone", NEAR, NEAR),
}


@each("where", list(PLACES))
@each("batch", [1, 4])
def test_copies_per_case_and_slab(where: str, batch: int) -> None:
    volume = stored(spacing=SPACING, size=SIZE)
    plain = predictor(Three())
    expected = plain.predict_structures([volume])
    far = predictor(Three(), device=FAR)
    far.engine = replace(far.engine, max_batch=batch)
    case = far.place([volume], whole=True)
    with pytest.MonkeyPatch.context() as patch, far_device() as device:
        patch.setattr(automatic, "places", lambda d, need: [PLACES[where]])
        patch.setattr("nnunet_prompt.sliding_window.structure_pass.fastest_batch", lambda *_: batch)
        labels = far.answer_structures(case)
    assert np.array_equal(labels, expected)
    found = device.crossings
    rows = len({w.origin[0] for w in windows(far, case)})
    tiles = len(windows(far, case))
    assert found.waits == 0 and rows == 6 and tiles > 100
    matrices, importance = 3, 1
    if (
        where == "device"
    ):  # with the image its matrices and limits; the values of tiles come back once
        assert found.there == 1 + matrices + 1 + matrices + importance
        assert found.back == rows + 1
    elif where == "slab by slab":
        assert found.there == rows + matrices + importance
        assert found.back == rows
    else:
        assert found.there == rows
        assert found.back >= tiles / batch


def windows(far: Any, case: Any) -> Any:
    from nnunet_prompt.sliding_window.tiles import Tiling

    return Tiling(case.image.shape, far.engine.patch_size, far.engine.step_size).lattice()


def test_the_simulated_device_counts() -> None:
    near = torch.ones(3)
    with far_device() as device:
        there = near.to(FAR)
        assert isinstance(there, Far) and there.device == FAR
        there += 1
        assert torch.equal(there[1:].cpu(), torch.full((2,), 2.0))
        assert device.crossings.there == device.crossings.back == 1
        assert float(there.sum()) == 6 and device.crossings.waits == 1
        with pytest.raises(AssertionError, match="both devices"):
            there + near


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_nothing_waits_on_cuda() -> None:
    """Between the first tile and the last row, torch itself watches over it."""
    volume = stored(spacing=SPACING, size=SIZE)
    expected = predictor(Three()).predict_structures([volume])
    one = predictor(Three(), device=torch.device("cuda"))
    one.predict_structures([volume])  # the batch is measured
    case = one.place([volume], whole=True)
    image = automatic.image_at(case, one.engine.device)
    slabs = one.engine.structure_slabs(image, one.engine.device)
    next(slabs)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in slabs:
            pass
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert np.array_equal(one.predict_structures([volume]), expected)


SMALL = {"S": 15, "P": 21, "L": 19}
PROMPTS = CasePrompts(
    {
        500: PromptSet(
            points=(Point((6.0, 8.0, 9.0)), Point((14.0, 17.0, 12.0), positive=False)),
            boxes=(Box((4, 5, 7), (12, 14, 9)),),
        ),
        200: PromptSet(scribbles=(Scribble(((13.0, 5.0, 3.0), (14.0, 16.0, 4.0))),)),
    }
)


class Object(nn.Module):
    """The object of a box, a point and the image; no weights."""

    def forward(self, x: Tensor) -> Tensor:
        image, prompts = x[:, :1], x[:, 1:].sum(1, keepdim=True)
        return torch.cat([image + 3 * prompts - 1, image, image, image], 1)


@each("room", [None, 0])
@each("batch", [1, 4])
@each("group", [1, 64_000_000])
def test_copies_of_prompted_tiles(room: int | None, batch: int, group: int) -> None:
    """One copy there and one back per group of tiles, beside those of the image, which is sent once."""
    volume = stored(spacing=SPACING, size=SMALL)
    near = predictor(Object())
    expected = near.find(near.place([volume]), PROMPTS)
    far = predictor(Object(), device=FAR)
    far.engine = replace(far.engine, max_batch=batch)
    case = far.place([volume])
    where = "nnunet_prompt.sliding_window.device_tiles"
    with pytest.MonkeyPatch.context() as patch, far_device() as device:
        patch.setattr(f"{where}.GROUP", group)
        patch.setattr(f"{where}.free_bytes", lambda _: room)
        answers = far.find(case, PROMPTS)
        before = device.crossings.there, device.crossings.back
        again = far.find(case, PROMPTS)
    for label, one in expected.items():
        for other in (answers[label], again[label]):
            assert other.box == one.box and other.tiles == one.tiles
            # an image that is resampled there is rounded in another place
            assert torch.allclose(other.logits, one.logits, atol=0 if room == 0 else 1e-4)
        assert (one.logits > 0).any()
    found, tiles = device.crossings, sum(a.tiles for a in answers.values())
    assert found.waits == 0 and tiles > 4
    groups = found.back - before[1]  # of the second answer, for which the image is there already
    assert found.there - before[0] == groups == before[1]
    assert groups == tiles if group == 1 else groups <= 1 + max(a.grown for a in answers.values())
    volume_matrices_and_limits = 0 if room == 0 else 1 + 3 + 1
    assert before[0] == groups + volume_matrices_and_limits


@each("transpose", [(0, 1, 2), (2, 0, 1)])
@each("spacing", [SPACING, {"S": 12.0, "P": 2.0, "L": 2.0}])
def test_an_image_on_the_device_is_that_of_the_cpu(transpose: Any, spacing: Any) -> None:
    one = predictor(transpose=transpose)
    image = one.place([stored(spacing=spacing, size=SIZE)]).image
    assert isinstance(image, LazyImage)
    there = device_image(image, NEAR)
    assert there.shape == image.shape and there.channels == image.channels
    for origin in ((0, 0, 0), (-3, 2, 5), tuple(n - 4 for n in image.shape)):
        window = Window(origin, (6, 8, 8))
        assert torch.allclose(there.tile(window), image.tile(window), atol=1e-5)
