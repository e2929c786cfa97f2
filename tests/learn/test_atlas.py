"""The nearest case of a support, rigidly aligned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.learn.atlas import AtlasCase, nearest

pytestmark = pytest.mark.slow

SPACING = (1.5, 1.0, 2.0)
SHAPE = (30, 36, 24)


def volume(array: npt.NDArray[np.generic], affine: npt.NDArray[np.float64]) -> NiftiVolume:
    return NiftiVolume(Path("case.nii.gz"), array, affine, None, array.shape)


def head(
    move_mm: tuple[float, float, float] = (0, 0, 0), *, flipped: bool = False
) -> tuple[NiftiVolume, NiftiVolume]:
    """An ellipsoid with a bright spot off its middle, which is labelled 3; `flipped`: stored from the other end."""
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = (-20, 10, 5)
    axes = [SPACING[i] * (np.arange(n) - n / 2) - move_mm[i] for i, n in enumerate(SHAPE)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    body = (x / 16) ** 2 + (y / 13) ** 2 + (z / 18) ** 2 <= 1
    spot = ((x - 6) / 5) ** 2 + ((y + 4) / 4) ** 2 + (z / 6) ** 2 <= 1
    image = (100 * body + 80 * spot).astype(np.float32)
    labels = (3 * spot).astype(np.uint8)
    if flipped:
        affine[0, 3] += affine[0, 0] * (SHAPE[0] - 1)
        affine[0, 0] *= -1
        image, labels = image[::-1], labels[::-1]
    return volume(image, affine), volume(labels, affine)


def case(name: str, pair: tuple[NiftiVolume, NiftiVolume]) -> AtlasCase:
    return AtlasCase(name, *pair)


def dice(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_a_moved_case_is_aligned() -> None:
    image, labels = head()
    there = head((5, -4, 4))
    assert dice(there[1].array == 3, labels.array == 3) < 0.5
    found = nearest([case("moved", there)], image)
    assert found.labels.shape == SHAPE and set(np.unique(found.labels)) == {0, 3}
    assert dice(found.labels == 3, labels.array == 3) > 0.85


def test_the_direction_of_the_axes_does_not_matter() -> None:
    image, labels = head()
    found = nearest([case("flipped", head(flipped=True))], image)
    assert dice(found.labels == 3, labels.array == 3) > 0.95


def test_the_most_similar_case_is_taken() -> None:
    image, labels = head()
    noise = np.random.default_rng(0).normal(0, 1, SHAPE).astype(np.float32)
    other = volume(noise, image.affine), labels
    found = nearest([case("noise", other), case("like", head((3, 0, 0)))], image)
    assert found.name == "like"


def test_a_flat_image_is_no_reason_to_stop() -> None:
    image, labels = head()
    flat = volume(np.zeros(SHAPE, np.float32), image.affine), labels
    assert nearest([case("flat", flat), case("like", head())], image).name == "like"
    assert nearest([case("flat", flat)], image).name == "flat"


def test_the_same_seed_gives_the_same_labels() -> None:
    image, _ = head()
    first, again = (nearest([case("moved", head((5, -4, 4)))], image, seed=2) for _ in range(2))
    assert first.similarity == again.similarity and np.array_equal(first.labels, again.labels)


def test_without_a_case_there_is_no_atlas() -> None:
    with pytest.raises(NNUNetPromptError, match="at least one support case"):
        nearest([], head()[0])
