"""On file grids, the part round the prompts is what the full window gives."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompts.channels import BOX, MASK
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, PromptSet, Scribble
from nnunet_prompt.sliding_window.lazy_image import DenseImage, LazyImage
from tests.helpers.each import each
from tests.helpers.predictors import ORIENTATIONS, Answers, corner, predictor, stored

SIZE = {"S": 14, "P": 45, "L": 38}
ISOTROPIC = {"S": 2.0, "P": 2.0, "L": 2.0}
STACK = {"S": 9.0, "P": 1.3, "L": 1.7}
SPACINGS = [ISOTROPIC, STACK, {"S": 4.0, "P": 1.5, "L": 1.25}]


class Bright(nn.Module):
    """The object is what is brighter than usual inside the boxes and masks: one voxel is all it looks at."""

    def forward(self, x: Tensor) -> Tensor:
        shown = x[:, 1 + BOX[0] : 2 + BOX[0]] + x[:, 1 + MASK : 2 + MASK] + x[:, 6:7]
        return torch.cat([8 * shown.clamp(max=1) - 8 + x[:, :1].clamp(-4, 4), x[:, :1]], 1)


class Feels(nn.Module):
    """The same with the mean over a voxel's neighbours."""

    def forward(self, x: Tensor) -> Tensor:
        kernel = [3 if n > 2 else 1 for n in x.shape[2:]]
        pool = nn.functional.avg_pool3d if x.ndim == 5 else nn.functional.avg_pool2d
        image = pool(x[:, :1], kernel, 1, [k // 2 for k in kernel], count_include_pad=False)
        shown = (x[:, 1 + BOX[0] : 2 + BOX[0]] + x[:, 6:7]).clamp(max=1)
        return torch.cat([8 * shown - 8 + 3 * image.clamp(-2, 2) + 0.2, image], 1)


def both(network: nn.Module, **changes: Any) -> tuple[PromptPredictor, PromptPredictor]:
    """The full window and the prompted region of one model."""
    model = predictor(network, **changes).model
    return (
        PromptPredictor(model, PredictOptions(window="full")),
        PromptPredictor(model, PredictOptions()),
    )


def said(volume: NiftiVolume) -> CasePrompts:
    """Three labels: a small box, a box of one slice with a negative point, and a scribble."""
    small = corner(volume)
    shape = volume.shape
    lower = tuple(n // 2 for n in shape)
    upper = tuple(n // 2 + (1 if n == min(shape) else n // 5) for n in shape)
    flat = Box(lower, upper)  # type: ignore[arg-type]
    # labels apart: where two are as likely, rounding decides
    line = Scribble(
        (tuple(0.8 * n for n in shape), (0.9 * shape[0], *(0.4 * n for n in shape[1:])))
    )  # type: ignore[arg-type]
    return CasePrompts(
        {
            500: PromptSet(boxes=(small,)),
            200: PromptSet(points=(Point(small.lower, positive=False),), boxes=(flat,)),
            7: PromptSet(scribbles=(line,)),
        }
    )


def check(volume: NiftiVolume, prompts: CasePrompts, network: nn.Module, **changes: Any) -> None:
    full, ours = both(network, **changes)
    placed = full.place([volume]), ours.place([volume])
    assert isinstance(placed[0].image, DenseImage) and isinstance(placed[1].image, LazyImage)
    expected, found = (p.answer(c, prompts) for p, c in zip((full, ours), placed, strict=True))
    assert expected.labels.any() and expected.labels.shape == volume.shape
    assert np.array_equal(found.labels, expected.labels)
    assert all(found.tiles[label] <= expected.tiles[label] for label in found.tiles)
    assert sum(found.tiles.values()) < sum(expected.tiles.values())


@each("spacing", SPACINGS)
@each(("axes", "signs"), ORIENTATIONS)
def test_in_any_orientation(
    axes: tuple[str, ...], signs: tuple[int, ...], spacing: dict[str, float]
) -> None:
    volume = stored(axes, signs, spacing=spacing, size=SIZE)
    check(volume, said(volume), Bright())


TRANSPOSED = list(
    itertools.product(
        ["3d_fullres", "2d"], [(0, 1, 2), (1, 2, 0), (2, 0, 1)], ["canonical", "file"]
    )
)


@each(("configuration", "transpose", "orientation"), TRANSPOSED, fast=TRANSPOSED[::3])
def test_in_any_transposition(
    configuration: str, transpose: tuple[int, int, int], orientation: str
) -> None:
    volume = stored(("P", "S", "L"), (1, -1, 1), spacing=STACK, size=SIZE)
    changes = {"configuration": configuration, "transpose": transpose, "orientation": orientation}
    check(volume, said(volume), Bright(), **changes)


@each("network", [Bright(), Feels()])
def test_with_a_network_that_looks_around(network: nn.Module) -> None:
    """The margin keeps what is pointed at away from the border of a tile."""
    volume = stored(spacing=ISOTROPIC, size=SIZE)
    check(volume, CasePrompts({3: said(volume).labels[500]}), network)


def test_a_rough_mask() -> None:
    volume = stored(("P", "L", "S"), (1, -1, 1), spacing=STACK, size=SIZE)
    mask = np.zeros(volume.shape, bool)
    mask[20:30, 10:19, 4:9] = True
    check(volume, CasePrompts({3: PromptSet(mask=mask)}), Bright())


@each("axis", ["S", "P"])
def test_one_slice(axis: str) -> None:
    volume = stored(spacing=STACK, size=SIZE)
    place = "LPS".index(axis)
    middle = volume.shape[place] // 2
    array = volume.array.take([middle], place)
    shape = [1 if i == place else n for i, n in enumerate(volume.shape)]
    thin = NiftiVolume(volume.path, array, volume.affine, None, tuple(shape))
    lower = [0 if i == place else n // 3 for i, n in enumerate(shape)]
    upper = [1 if i == place else n // 3 + 5 for i, n in enumerate(shape)]
    box = Box(tuple(lower), tuple(upper))  # type: ignore[arg-type]
    if axis == "P":  # 1.3 mm of a grid of 1.5 mm
        thin = replace(thin, affine=volume.affine @ np.diag([1.0, 1.2, 1.0, 1.0]))
    full, ours = both(Bright())
    expected = full.predict_prompts([thin], CasePrompts({3: PromptSet(boxes=(box,))}))
    assert expected.any()
    found = ours.predict_prompts([thin], CasePrompts({3: PromptSet(boxes=(box,))}))
    assert np.array_equal(found, expected)


def test_slices_bound_the_growth_and_the_mask() -> None:
    """A mask that could grow for ever stays in the slices where the label was prompted."""

    class Everything(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ones((x.shape[0], 2, *x.shape[2:]))

    volume = stored(spacing=STACK, size={**SIZE, "S": 30})
    box = pls_map(volume.affine, volume.shape).box(Box((15, 20, 10), (20, 26, 13)))
    slices = {k: frozenset({500}) for k in (10, 11, 12)}
    prompts = CasePrompts({500: PromptSet(boxes=(box,))}, "PLS", slices)
    ours = PromptPredictor(predictor(Everything()).model)
    answer = ours.answer(ours.place([volume]), prompts)
    assert set(np.flatnonzero(answer.labels.any((0, 1)))) == {10, 11, 12}
    free = ours.answer(ours.place([volume]), replace(prompts, slices=None))
    assert 0 < answer.grown[500] < free.grown[500]
    assert answer.tiles[500] > answer.grown[500]
    still = PromptPredictor(ours.model, PredictOptions(grow=False))
    assert still.answer(still.place([volume]), prompts).grown == {500: 0}
    nowhere = replace(prompts, slices={3: frozenset({7})})
    assert not ours.predict_prompts([volume], nowhere).any()


def test_padding_with_empty_space_changes_nothing() -> None:
    """Neither the statistics nor the tiles; the mask moves along."""
    volume = stored(spacing=STACK, size=SIZE)
    affine = volume.affine.copy()
    wide = np.zeros([2 * n for n in volume.shape], np.float32)
    wide[tuple(slice(n // 2, n // 2 + n) for n in volume.shape)] = volume.array
    padded = NiftiVolume(volume.path, wide, affine, None, wide.shape)
    box = corner(volume)
    shift = [n // 2 for n in volume.shape]
    moved = Box(
        tuple(a + s for a, s in zip(box.lower, shift, strict=True)),  # type: ignore[arg-type]
        tuple(a + s for a, s in zip(box.upper, shift, strict=True)),  # type: ignore[arg-type]
    )
    ours = PromptPredictor(predictor(Feels()).model)
    expected = ours.answer(ours.place([volume]), CasePrompts({3: PromptSet(boxes=(box,))}))
    found = ours.answer(ours.place([padded]), CasePrompts({3: PromptSet(boxes=(moved,))}))
    assert found.tiles == expected.tiles
    inside = tuple(slice(s, s + n) for s, n in zip(shift, volume.shape, strict=True))
    assert expected.labels.any() and np.array_equal(found.labels[inside], expected.labels)
    assert found.labels.sum() == expected.labels.sum()


def test_plans_with_another_resampling_take_the_whole_volume() -> None:
    loaded = predictor()
    for kind in ("data", "probabilities"):
        settings = loaded.model.configuration.configuration
        settings[f"resampling_fn_{kind}"] = "resample_torch_fornnunet"
        settings[f"resampling_fn_{kind}_kwargs"] = {"is_seg": False, "mode": "nearest-exact"}
    volume = stored()
    assert isinstance(loaded.place([volume]).image, DenseImage)
    box = corner(volume)
    found = loaded.predict_prompts([volume], CasePrompts({3: PromptSet(boxes=(box,))}))
    inside = np.zeros(volume.shape, bool)
    inside[tuple(slice(int(a), int(b)) for a, b in zip(box.lower, box.upper, strict=True))] = True
    assert np.array_equal(found == 3, inside)


@each("spacing", SPACINGS)
def test_plans_of_the_torchres_planner_run_tile_by_tile(spacing: dict[str, float]) -> None:
    volume = stored(spacing=spacing, size=SIZE)
    network = Bright()
    full = predictor(network)
    for kind in ("data", "probabilities"):
        settings = full.model.configuration.configuration
        settings[f"resampling_fn_{kind}"] = "resample_torch_fornnunet"
        settings[f"resampling_fn_{kind}_kwargs"] = {"is_seg": False, "force_separate_z": False}
    ours = PromptPredictor(full.model, PredictOptions())
    full = PromptPredictor(full.model, PredictOptions(window="full"))
    placed = full.place([volume]), ours.place([volume])
    assert isinstance(placed[0].image, DenseImage) and isinstance(placed[1].image, LazyImage)
    expected, found = (
        p.answer(c, said(volume)).labels for p, c in zip((full, ours), placed, strict=True)
    )
    assert expected.any() and np.array_equal(found, expected)


def test_several_folds_are_one_answer() -> None:
    weights = tuple({"bias": torch.tensor(b)} for b in (-8.0, 1.0))
    full, ours = both(Answers(), weights=weights)
    volume = stored(spacing=ISOTROPIC, size=SIZE)
    prompts = CasePrompts({3: PromptSet(boxes=(corner(volume),))})
    expected = full.predict_prompts([volume], prompts)
    assert expected.any() and np.array_equal(ours.predict_prompts([volume], prompts), expected)


def test_an_unknown_window_is_refused() -> None:
    with pytest.raises(NNUNetPromptError, match="window: expected prompted or full, found 'half'"):
        PredictOptions(window="half")  # type: ignore[arg-type]
