"""The five slices of a case where masks differ most: the image in grey, and what belongs over it as SVG paths.

Cases are shown as nnU-Net's canonical reader has them: a stack of slices along its slices, anything else in axial
slices, posterior below and left on the right as far as the stack allows.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.io.geometry import geometry_difference, same_geometry
from nnunet_prompt.io.image_files import read_image_file, read_label_file
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompt_files.prompt_file import PromptFile
from nnunet_prompt.prompts.frames import AxisMap, canonical_map, pls_map
from nnunet_prompt.prompts.types import PromptSet
from nnunet_prompt.report.outlines import Cut, Marks, marks, outline

CROWD = 20  # points in a slice
SLICES, WIDEST = 5, 224  # slices of a case, pixels of a picture
MARGIN, SMALLEST = (
    0.2,
    32,
)  # around the structures: share of their size, and the least side in voxels
TRIES = (
    (1, 72),
    (1, 50),
    (1, 30),
    (2, 50),
    (2, 20),
)  # of an image: each how many pixels, and quality
MOST_BYTES, LEAST_BYTES = 24_000, 1_500  # of an image in the page
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class PictureJob:
    """The files of one case. `prompts` is a file whose cases are assigned already.

    most_bytes: of the image of one slice in the page, as far as that can be kept
    """

    case: str
    reference: Path
    predictions: tuple[Path | None, ...]
    image: Path | None = None
    prompts: PromptFile | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    most_bytes: int = MOST_BYTES


@dataclass(frozen=True, slots=True)
class Outline:
    """The outline of one structure."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Picture:
    """One slice.

    number, of: which slice of how many, from 1
    image: a data URI, "" without an image
    width, height: of the picture in pixels
    ratio: width over height in mm
    reference: outlines by structure
    predictions: the same for each arm
    differs_mm2: the area in which each arm differs from the reference
    positive, negative: the prompts in this slice
    """

    number: int
    of: int
    image: str
    width: int
    height: int
    ratio: float
    reference: tuple[Outline, ...]
    predictions: tuple[tuple[Outline, ...], ...]
    differs_mm2: tuple[float, ...]
    positive: Marks
    negative: Marks

    @property
    def prompted(self) -> bool:
        """Whether there is a prompt in this slice."""
        return Marks() != self.positive or Marks() != self.negative

    @property
    def crowded(self) -> bool:
        """Whether points are so many that they are shown small."""
        return self.positive.points.count("M") + self.negative.points.count("M") > CROWD


@dataclass(frozen=True, slots=True)
class CasePictures:
    """The pictures of a case, and a line for each thing that cannot be shown."""

    slices: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A case in the frame of the page, arrays (slices, rows, columns); `spacing_mm` is along its axes."""

    reference: Labels
    predictions: tuple[Labels | None, ...]
    image: npt.NDArray[Any] | None
    prompts: tuple[PromptSet, ...]
    spacing_mm: tuple[float, float, float]
    names: Mapping[int, str]

    @property
    def shown(self) -> npt.NDArray[np.bool_]:
        """Where any of the label maps has a structure."""
        shown: npt.NDArray[np.bool_] = self.reference != 0
        for one in self.predictions:
            shown = shown if one is None else shown | (one != 0)
        return shown


def run_job(job: PictureJob) -> CasePictures:
    """The pictures of a case; whatever is wrong with its files is its own affair."""
    try:
        return pictures_of(job)
    except NNUNetPromptError as error:
        return CasePictures(notes=(" ".join(str(error).split()),))
    except (OSError, MemoryError, ValueError, ArithmeticError) as error:
        why = " ".join(f"{type(error).__name__} {error}".split())
        return CasePictures(notes=(f"{job.reference}: cannot be shown ({why})",))


def job_died(job: PictureJob) -> CasePictures:
    """The pictures of a case whose process died."""
    return CasePictures(notes=(f"{job.reference}: its process died, perhaps for lack of memory",))


def pictures_of(job: PictureJob) -> CasePictures:
    """Reads the files of a case and makes its pictures. Raises `NNUNetPromptError` for label maps that do not fit."""
    notes: list[str] = []
    reference = read_label_file(job.reference)
    to_page = canonical_map(reference.affine, reference.shape)

    def there(volume: NiftiVolume) -> npt.NDArray[Any]:
        if not same_geometry(reference, volume):
            raise ImageError(
                f"{volume.path}: must be on the grid of {reference.path}, found"
                f" {geometry_difference(volume, reference)}"
            )
        return to_page.apply(volume.array)

    maps = [None if p is None else there(read_label_file(p)) for p in job.predictions]
    image: npt.NDArray[Any] | None = None
    prompts: tuple[PromptSet, ...] = ()
    try:
        image = None if job.image is None else there(read_image_file(job.image))
    except (NNUNetPromptError, OSError) as error:
        notes.append(f"no image: {_line(error)}")
    try:
        prompts = _prompts(job, reference, to_page)
    except (NNUNetPromptError, OSError) as error:
        notes.append(f"no prompts: {_line(error)}")
    a, b, c = (reference.spacing_mm[axis] for axis in to_page.axes)
    scene = Scene(to_page.apply(reference.array), tuple(maps), image, prompts, (a, b, c), job.names)
    return CasePictures(tuple(scene_pictures(scene, job.most_bytes)), tuple(notes))


def scene_pictures(scene: Scene, most_bytes: int = MOST_BYTES) -> list[Picture]:
    """The pictures of a case that is in memory; none where no label map has a structure."""
    chosen = differing_slices(scene.reference, scene.predictions, SLICES)
    if not chosen:
        return []
    cut = _cut(scene, chosen)
    grey = None if scene.image is None else _grey(scene.image, chosen, cut)
    return [
        _picture(scene, k, cut, "" if grey is None else _data_uri(grey[i], most_bytes))
        for i, k in enumerate(chosen)
    ]


def differing_slices(
    reference: Labels, predictions: Sequence[Labels | None], most: int
) -> list[int]:
    """The slices where masks differ most, in their order; of two masks, where these differ from each other.

    Where fewer slices differ, those with the largest structures follow. Slices without any structure are left out.
    """
    found = [np.zeros_like(reference) if p is None else p for p in predictions]
    pairs = [(found[0], found[1])] if len(found) == 2 else [(reference, one) for one in found]
    differs = sum(((a != b).sum(axis=(1, 2)) for a, b in pairs), np.zeros(len(reference), int))
    areas = sum(((m != 0).sum(axis=(1, 2)) for m in (reference, *found)), np.zeros_like(differs))
    order = sorted(range(len(reference)), key=lambda k: (-differs[k], -areas[k], k))
    return sorted([k for k in order if areas[k]][:most])


def _prompts(job: PictureJob, image: NiftiVolume, to_page: AxisMap) -> tuple[PromptSet, ...]:
    if job.prompts is None:
        return ()
    found = job.prompts.prompts(job.case, image, warn=lambda line: None)
    pls = pls_map(image.affine, image.shape)
    there = pls.inverse().then(to_page) if found.frame == "PLS" else to_page
    return tuple(there.prompts(one) for one in found.labels.values())


def _cut(scene: Scene, chosen: Sequence[int]) -> Cut:
    """The part of the slices around all structures, with a margin, and no larger than pictures may be."""
    plane = np.asarray(scene.shown[list(chosen)].any(axis=0))
    sides = []
    for axis, length in enumerate(plane.shape):
        hit = np.flatnonzero(plane.any(axis=1 - axis))
        first, last = int(hit[0]), int(hit[-1]) + 1
        middle, half = (first + last) / 2, (last - first) * (0.5 + MARGIN)
        sides.append((middle, max(half, SMALLEST / 2), length, scene.spacing_mm[1 + axis]))
    reach = max(
        half * mm for _, half, _, mm in sides
    )  # a square in mm, as far as the image has one
    spans = [
        slice(max(0, int(m - reach / mm)), min(n, int(np.ceil(m + reach / mm))))
        for m, _, n, mm in sides
    ]
    longest = max(s.stop - s.start for s in spans)
    return Cut(spans[0], spans[1], max(1, -(-longest // WIDEST)))


def _grey(image: npt.NDArray[Any], chosen: Sequence[int], cut: Cut) -> npt.NDArray[np.uint8]:
    """The pictures (slices, rows, columns), windowed alike."""
    parts = np.stack([cut.of(image[k]) for k in chosen]).astype(np.float32)
    low, high = (float(v) for v in np.percentile(parts, (0.5, 99.5)))
    scaled = (parts - low) / max(high - low, 1e-6) * 255
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def _data_uri(grey: npt.NDArray[np.uint8], most_bytes: int) -> str:
    """An image as text, in the best of `TRIES` that is short enough, else in the last."""
    from PIL import Image, features

    kind, mode = ("webp", "RGB") if features.check("webp") else ("png", "L")
    content = b""
    for coarse, quality in TRIES:
        buffer = io.BytesIO()
        image = Image.fromarray(grey).convert(mode)
        image.reduce(coarse).save(buffer, kind, quality=quality)
        content = base64.b64encode(buffer.getvalue())
        if len(content) <= most_bytes:
            break
    return f"data:image/{kind};base64,{content.decode('ascii')}"


def _picture(scene: Scene, k: int, cut: Cut, image: str) -> Picture:
    height, width = cut.shape
    reference = scene.reference[k]
    found = [np.zeros_like(reference) if p is None else p[k] for p in scene.predictions]
    area = scene.spacing_mm[1] * scene.spacing_mm[2]
    rows, columns = (s.stop - s.start for s in (cut.rows, cut.columns))
    return Picture(
        number=k + 1,
        of=len(scene.reference),
        image=image,
        width=width,
        height=height,
        ratio=columns * scene.spacing_mm[2] / (rows * scene.spacing_mm[1]),
        reference=_outlines(cut.of(reference), scene.names),
        predictions=tuple(_outlines(cut.of(one), scene.names) for one in found),
        differs_mm2=tuple(float((one != reference).sum() * area) for one in found),
        positive=marks(scene.prompts, k, cut, positive=True),
        negative=marks(scene.prompts, k, cut, positive=False),
    )


def _outlines(plane: Labels, names: Mapping[int, str]) -> tuple[Outline, ...]:
    values = [int(v) for v in np.unique(plane) if v]
    return tuple(Outline(names.get(v, f"label {v}"), outline(plane == v)) for v in values)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
