"""Regions: structures that nobody has drawn, for learning what a support means from few structures.

A network that is shown supports of a handful of structures learns these by heart. A region is made for one sample
alone: the voxels of alike intensity within some ellipsoids, at the same places in two cases. Butoi et al. 2023
(UniverSeg, arXiv 2304.06131) and Hu et al. 2025 (SynthICL, arXiv 2509.19711) train on synthetic structures as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from nnunet_prompt.prompts.checks import BoolArray

FloatArray = npt.NDArray[np.floating]
PARTS = (0.6, 0.2, 0.2)  # how often one, two or three ellipsoids
RADII = (0.1, 0.5)  # of an ellipsoid's half axes, shares of the patch
WIDTHS = (
    0.2,
    0.7,
)  # from the value to the ends of the band; of images normalised to a deviation of 1
P_EVERYWHERE = 0.1  # without ellipsoids
FEWEST = 30  # voxels
SMOOTH = 1.0  # voxels, of the Gaussian before intensities are compared


@dataclass(frozen=True, slots=True)
class Region:
    """The voxels within `width` of `value` in a channel, inside any of the ellipsoids; of an image (C, Z, Y, X).

    places: their centres, shares of the shape of a case
    radii: their half axes, in voxels
    everywhere: the ellipsoids do not count
    """

    channel: int
    value: float
    width: float
    places: tuple[tuple[float, ...], ...]
    radii: tuple[tuple[float, ...], ...]
    everywhere: bool = False

    def centre(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The voxel in the middle of the first ellipsoid in a case of that shape."""
        return tuple(
            min(int(share * n), n - 1) for share, n in zip(self.places[0], shape, strict=True)
        )

    def inside(self, image: FloatArray, low: Sequence[int], shape: Sequence[int]) -> BoolArray:
        """The mask of a part (Z, Y, X) of the channel, which begins at `low` in a case of that shape."""
        band = np.abs(smooth(image) - self.value) < self.width
        if self.everywhere:
            return np.asarray(band)
        axes = np.meshgrid(
            *(np.arange(n, dtype=np.float32) + a for n, a in zip(image.shape, low, strict=True)),
            indexing="ij",
            sparse=True,
        )
        found = np.zeros(image.shape, bool)
        for place, radii in zip(self.places, self.radii, strict=True):
            far = sum(
                ((axis - (share * n - 0.5)) / radius) ** 2
                for axis, share, n, radius in zip(axes, place, shape, radii, strict=True)
            )
            found |= np.asarray(far < 1)
        return np.asarray(found & band)


def smooth(image: FloatArray) -> FloatArray:
    """An image (Z, Y, X) of which noise does not decide what is alike; along an axis of one voxel nothing happens."""
    return np.asarray(ndimage.gaussian_filter(image, [SMOOTH * (n > 1) for n in image.shape]))


def draw_region(
    image: FloatArray,
    low: Sequence[int],
    shape: Sequence[int],
    rng: np.random.Generator,
    *,
    patch: Sequence[int],
) -> Region:
    """A region of a part (C, Z, Y, X) of a case, which begins at `low` in the case of that shape.

    One of its voxels gives the value and the first place; up to two more places have the same value.
    """
    channel = int(rng.integers(len(image)))
    seen = smooth(image[channel])
    seed = tuple(int(rng.integers(n)) for n in seen.shape)
    value, width = float(seen[seed]), float(rng.uniform(*WIDTHS))
    alike = np.argwhere(np.abs(seen - value) < width)
    more = alike[rng.integers(len(alike), size=int(rng.choice(len(PARTS), p=PARTS)))]
    centres = [np.asarray(seed), *more]
    return Region(
        channel,
        value,
        width,
        tuple(
            tuple(float((v + a + 0.5) / n) for v, a, n in zip(c, low, shape, strict=True))
            for c in centres
        ),
        tuple(tuple(float(max(1.0, rng.uniform(*RADII) * n)) for n in patch) for _ in centres),
        bool(rng.random() < P_EVERYWHERE),
    )
