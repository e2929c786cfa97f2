"""The right reading of phantom sets of five cases, in both orders and bases, with bad boxes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.challenge.simulate import slice_prompts
from nnunet_prompt.phantom import heart, lascarqs, liqa, myops, whs
from nnunet_prompt.phantom.mock_challenge import DrawnCase
from nnunet_prompt.prompt_files.infer_convention import Reading, settle
from nnunet_prompt.prompt_files.prompts_json import read_prompts_json, write_prompts_json
from nnunet_prompt.prompt_files.prompts_json_convention import JsonConvention
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.types import CasePrompts
from tests.prompt_files.inputs import Array, save_pls

pytestmark = pytest.mark.slow

CASES = 5
BAD = 0.05  # of the boxes, moved
CONVENTIONS = [
    JsonConvention("xy", 0, False),
    JsonConvention("yx", 1, True),
    JsonConvention("yx", 0, False),
    JsonConvention("xy", 1, True),
]
Drawn = tuple[Array, Array, tuple[float, float, float]]  # image, labels (PLS), spacing in mm
COARSE_HEARTS = {
    name: replace(site, in_plane_mm=(2.6, 2.8), slice_mm=(4.0, 4.0))
    for name, site in whs.SITES.items()
}


def drawn(task: str, rng: np.random.Generator, i: int) -> Drawn:
    if task == "heart":
        case = heart.phantom_case(rng, centre="ABC"[i % 3])
        image, labels, affine = case.image, case.labels, case.affine
    else:
        draw: Callable[..., DrawnCase] = {"myops": myops, "whs": whs, "lascarqs": lascarqs}.get(
            task, liqa
        ).draw
        centres = {"myops": "D", "whs": "AB", "lascarqs": "ABC"}.get(task, "AC")
        one = draw(rng, centres[i % len(centres)], i + 1)
        volume = next(iter(one.sequences.values()))
        image, labels, affine = volume.array, one.labels.array, volume.affine
    to_pls = pls_map(affine, image.shape)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[list(to_pls.axes)]
    mm = (float(spacing[0]), float(spacing[1]), float(spacing[2]))
    return to_pls.apply(image), to_pls.apply(labels).astype(np.int32), mm


@cache
def phantoms(task: str, seed: int) -> tuple[Drawn, ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whs, "SITES", COARSE_HEARTS)
        return tuple(drawn(task, np.random.default_rng([seed, i]), i) for i in range(CASES))


def squared(case: Drawn) -> Drawn:
    """Padded to square slices, as far round on both sides."""
    image, labels, spacing = case
    side = max(image.shape[:2])
    pad = [((side - n) // 2, side - n - (side - n) // 2) for n in image.shape[:2]]
    margins = [*pad, (0, 0)]
    return np.pad(image, margins, constant_values=image.min()), np.pad(labels, margins), spacing


def write_set(
    folder: Path, cases: list[Drawn], how: JsonConvention, *, seed: int = 0, axis: int = 2
) -> tuple[Path, list[tuple[str, Path]]]:
    """A prompts.json with some boxes moved by up to twelve pixels, even out of the image, and the images."""
    prompts: dict[str, CasePrompts] = {}
    paths = []
    for i, (image, labels, spacing) in enumerate(cases):
        rng = np.random.default_rng([seed, i])
        prompts[f"c{i}"] = slice_prompts(labels, rng, slice_axis=axis)
        paths.append((f"c{i}", save_pls(folder / f"c{i}.nii", image, spacing)))
    path = folder / "prompts.json"
    write_prompts_json(path, prompts, convention=how)
    content = json.loads(path.read_text())
    rng = np.random.default_rng([seed, 99])
    for slices in content.values():
        for labels_here in slices.values():
            for pair in (labels_here or {}).values():
                if rng.random() < BAD:
                    box = np.array(pair[0]) + rng.integers(-12, 13, 4)
                    pair[0] = np.concatenate(
                        [np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:])]
                    ).tolist()
    path.write_text(json.dumps(content))
    return path, paths


def read(folder: Path, cases: list[Drawn], how: JsonConvention, **options: Any) -> Reading:
    path, paths = write_set(folder, cases, how, **options)
    return settle(read_prompts_json(path), paths)


def check(reading: Reading, how: JsonConvention) -> None:
    """Order and base are right, and nothing is guessed; where few points lie on edges, ends are the default."""
    found = reading.convention
    assert (found.order, found.base, reading.guessed) == (how.order, how.base, ()), reading.notes
    assert found.inclusive in (how.inclusive, False)


@pytest.mark.parametrize("how", CONVENTIONS, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("task", ["whs", "liqa", "lascarqs", "myops", "heart"])
def test_slices_that_are_not_square(
    tmp_path: Path, task: str, seed: int, how: JsonConvention
) -> None:
    cases = list(phantoms(task, seed))
    assert any(image.shape[0] != image.shape[1] for image, _, _ in cases)
    reading = read(tmp_path, cases, how, seed=seed)
    check(reading, how)


@pytest.mark.parametrize("how", CONVENTIONS, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("task", ["whs", "liqa"])
def test_square_slices_with_anatomy(
    tmp_path: Path, task: str, seed: int, how: JsonConvention
) -> None:
    """The images show nothing, so that anatomy alone decides."""
    cases = [squared(case) for case in phantoms(task, seed)]
    cases = [(np.zeros_like(image), labels, mm) for image, labels, mm in cases]
    reading = read(tmp_path, cases, how, seed=seed)
    check(reading, how)


@pytest.mark.parametrize("how", CONVENTIONS, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("task", ["lascarqs", "myops", "heart"])
def test_square_slices_with_nothing_but_tissue(
    tmp_path: Path, task: str, seed: int, how: JsonConvention
) -> None:
    """Right, or the prior with a warning."""
    cases = [squared(case) for case in phantoms(task, seed)]
    reading = read(tmp_path, cases, how, seed=seed)
    check(replace(reading, guessed=()), replace(how, order="xy") if reading.guessed else how)


@pytest.mark.parametrize("how", CONVENTIONS, ids=str)
@pytest.mark.parametrize("task", ["lascarqs", "heart"])
def test_square_slices_without_any_evidence(tmp_path: Path, task: str, how: JsonConvention) -> None:
    cases = [squared(case) for case in phantoms(task, 0)]
    cases = [(np.zeros_like(image), labels, mm) for image, labels, mm in cases]
    reading = read(tmp_path, cases, how)
    (line,) = reading.guessed
    check(replace(reading, guessed=()), replace(how, order="xy"))
    assert "nothing decides whether x runs along axis 0 or 1" in line


@pytest.mark.parametrize("how", CONVENTIONS, ids=str)
def test_oblique_stacks_counted_across_their_slices(tmp_path: Path, how: JsonConvention) -> None:
    """Stacks whose slices lie along another axis of the PLS frame, with prompts in these slices."""
    cases = [c for c in phantoms("myops", 0) + phantoms("myops", 1) if np.argmax(c[2]) == 1][:5]
    assert len(cases) >= 3
    reading = read(tmp_path, cases, how, axis=1)
    assert reading.slice_axes == {f"c{i}": 1 for i in range(len(cases))}
    assert reading.convention.base == how.base
    assert reading.convention.order == how.order or reading.guessed
