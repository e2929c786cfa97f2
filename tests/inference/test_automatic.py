"""Labels slab by slab are the labels of all logits at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnunet_prompt.inference import automatic, places
from nnunet_prompt.inference.automatic import AutomaticPass
from nnunet_prompt.inference.grid import Grid
from nnunet_prompt.inference.level_files import LevelFiles
from nnunet_prompt.inference.merge import decode_structures
from nnunet_prompt.inference.places import Need, Place
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.inference.probabilities import CaseLogits, structure_keys
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.sliding_window.canvas import LabelLogits
from nnunet_prompt.sliding_window.lazy_image import DenseImage
from tests.helpers.each import each
from tests.helpers.predictors import ORIENTATIONS, predictor, stored

CPU = torch.device("cpu")
SIZE = {"S": 21, "P": 33, "L": 29}
SPACINGS = [
    {"S": 4.0, "P": 1.5, "L": 1.25},  # that of the plans
    {"S": 9.0, "P": 1.1, "L": 1.3},  # slice by slice
    {"S": 2.0, "P": 2.0, "L": 2.0},
    {"S": 5.0, "P": 2.6, "L": 0.7},
]


class Smooth(nn.Module):
    """Three structures that look around, large and overlapping, none in most of the volume."""

    def forward(self, x: Tensor) -> Tensor:
        kernel = [3 if n > 2 else 1 for n in x.shape[2:]]
        pool = nn.functional.avg_pool3d if x.ndim == 5 else nn.functional.avg_pool2d
        image = pool(x[:, :1], kernel, 1, [k // 2 for k in kernel], count_include_pad=False)
        return torch.cat([image, 3 * image - 0.6, 0.5 - 2 * image, image - 0.1], 1)


def at_once(one: PromptPredictor, volume: NiftiVolume, wanted: tuple[str, ...] = ()) -> Any:
    """The labels of all logits of the volume."""
    case = one.place([volume], whole=True)
    assert isinstance(case.image, DenseImage)
    logits = one.engine.structures(case.image.array)
    labels = np.zeros(volume.shape, np.uint16)
    how = one.model.configuration.resampling_fn_probabilities
    found = case.grid.restore(logits, how, lambda a, _: decode_structures(a, one.table, wanted))
    case.file_to_reader.apply(labels)[...] = found
    return labels


def check(one: PromptPredictor, volume: NiftiVolume, wanted: tuple[str, ...] = ()) -> None:
    expected = at_once(one, volume, wanted)
    found = one.predict_structures([volume], wanted)
    assert found.dtype == expected.dtype and len(np.unique(expected)) > 1
    differ = np.count_nonzero(found != expected)
    assert differ <= expected.size * 1e-4, f"{differ} of {expected.size}"


@each("spacing", SPACINGS)
@each(("axes", "signs"), ORIENTATIONS)
def test_in_any_orientation(
    axes: tuple[str, ...], signs: tuple[int, ...], spacing: dict[str, float]
) -> None:
    check(predictor(Smooth()), stored(axes, signs, spacing=spacing, size=SIZE))


@each("spacing", SPACINGS)
@each("configuration", ["3d_fullres", "2d"])
@each("transpose", [(1, 2, 0), (2, 0, 1)])
def test_in_any_transposition(
    configuration: str, transpose: tuple[int, int, int], spacing: dict[str, float]
) -> None:
    one = predictor(Smooth(), configuration=configuration, transpose=transpose)
    check(one, stored(spacing=spacing, size=SIZE))


@each("wanted", [("wall",), ("500", "scar")])
def test_some_structures_only(wanted: tuple[str, ...]) -> None:
    check(predictor(Smooth()), stored(spacing=SPACINGS[1], size=SIZE), wanted)


@each("spacing", SPACINGS)
@each("whole", [False, True])
def test_probabilities_are_those_of_all_logits(
    tmp_path: Any, spacing: dict[str, float], whole: bool
) -> None:
    """Of a structure alone and with its part, to a level: means of tiles are kept in 16 bits."""
    one, volume = predictor(Smooth()), stored(spacing=spacing, size=SIZE)
    case = one.place([volume], whole=True)
    assert isinstance(case.image, DenseImage)
    heads = structure_keys(one.table)
    how = one.model.configuration.resampling_fn_probabilities
    found = [LabelLogits((0, 0, 0), k) for k in one.engine.structures(case.image.array)]
    expected = CaseLogits(case, {k: [found[h - 1] for h in own] for k, own in heads.items()}, how)
    maps = LevelFiles(tmp_path, heads, case.file_shape)
    with pytest.MonkeyPatch.context() as patch:
        if whole:
            patch.setattr(Grid, "linear", lambda grid, function: None)
        labels = one.answer_structures(case, (), maps)
    assert np.array_equal(labels, one.predict_structures([volume]))
    for key in heads:
        mine, theirs = maps.levels(key).astype(int), expected.levels(key).astype(int)
        assert theirs.max() > 128 and np.abs(mine - theirs).max() <= 1
        assert np.count_nonzero(mine != theirs) < 1e-2 * mine.size
    maps.close()
    assert not list(tmp_path.iterdir())


@each("slices", [1, 3, 1000])
def test_any_number_of_slices_at_a_time(slices: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(automatic, "step_of", lambda shape, voxels: slices)
    check(predictor(Smooth()), stored(spacing=SPACINGS[2], size=SIZE))


def test_another_resampling_gets_the_whole_volume(monkeypatch: Any) -> None:
    monkeypatch.setattr(Grid, "linear", lambda grid, function: None)
    check(predictor(Smooth()), stored(spacing=SPACINGS[2], size=SIZE))


def test_memory_that_is_not_enough_after_all(monkeypatch: Any, caplog: Any) -> None:
    """Each place is tried once, and the last error is raised."""
    one, volume = predictor(Smooth()), stored(spacing=SPACINGS[2], size=SIZE)
    expected = at_once(one, volume)
    asked: list[str] = []
    honest = AutomaticPass._write

    def greedy(self: Any, case: Any, slabs: Any, target: Any, place: Place) -> Any:
        asked.append(place.description)
        if place.description != "c":
            case.grid.inside(case.file_to_reader.apply(target.labels))[:3] = 77  # half done
            raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
        return honest(self, case, slabs, target, place)

    three = [Place(name, CPU, CPU) for name in "abc"]
    monkeypatch.setattr(automatic, "places", lambda device, need: three)
    monkeypatch.setattr(AutomaticPass, "_write", greedy)
    found = one.predict_structures([volume])
    assert asked == ["a", "b", "c"] and np.array_equal(found, expected)
    assert "out of memory a: the case is run again b" in caplog.text


@each(
    ("gib", "expected"),
    [(None, 3), (100.0, 3), (3.2, 2), (0.5, 1)],
)
def test_what_does_not_fit_is_not_tried(gib: float | None, expected: int, monkeypatch: Any) -> None:
    need = Need(channels=1, grid=(568, 320, 320), slices=800, heads=15, height=64)
    assert 0.7 < need.image() / 2**30 < 0.8 and 0.9 < need.sums() / 2**30 < 1
    free = None if gib is None else int(gib / 4 * (need.image() + need.sums()))
    monkeypatch.setattr(places, "free_bytes", lambda device: free)
    found = places.places(torch.device("meta"), need)
    assert len(found) == expected and found[-1].sums == CPU
    assert len(places.places(CPU, need)) == 1
