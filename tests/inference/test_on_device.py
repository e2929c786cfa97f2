"""The automatic pass on a simulated device: what is copied there and back, and that nothing waits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnunet_prompt.inference import automatic
from nnunet_prompt.inference.places import Place
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
