"""The prompts of a validation as the network saw them: the seven channels over the preprocessed image, on its grid."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import ModelError, NNUNetPromptError
from nnunet_prompt.data.plans_reader import ITK, ImageReader
from nnunet_prompt.data.structures import Structure, structures_from_dataset_json
from nnunet_prompt.inference.grid import grid_of
from nnunet_prompt.io.image_files import read_label_file
from nnunet_prompt.io.json_file import read_object
from nnunet_prompt.networks.capability import read_capability
from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS
from nnunet_prompt.prompts.encode import Window
from nnunet_prompt.prompts.frames import AxisMap
from nnunet_prompt.prompts.types import Box
from nnunet_prompt.prompts.voxels import bounding_box
from nnunet_prompt.sliding_window.grid_prompts import GridPrompts
from nnunet_prompt.training.validation_prompts import VALIDATION_KINDS, simulated_prompts

# One colour per channel, those of Okabe and Ito.
COLOURS = ("#009e73", "#56b4e9", "#cc79a7", "#f0e442", "#d55e00", "#e69f00", "#d55e00")
LEGEND = {
    "mask": COLOURS[0],
    "box": COLOURS[1],
    "negative box or mask": COLOURS[2],
    "point": COLOURS[3],
    "scribble": COLOURS[5],
    "negative point or scribble": COLOURS[4],
}
STRENGTH = (0.45, 0.35, 0.35, 0.9, 0.9, 0.9, 0.9)  # of the colours, by channel
WIDEST = 224
MARGIN = 24  # voxels of the grid around what is prompted
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """One kind of prompt: a picture of the slice of the grid that holds most of it."""

    kind: str
    image: str
    caption: str


@dataclass(frozen=True, slots=True)
class Look:
    """What pictures of one case have in common: rows and columns of the grid, and its spacing in mm."""

    cut: tuple[slice, slice]
    spacing: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a case of a validation is: the model folder, the preprocessed data set, and the case."""

    model: Path
    preprocessed: Path
    case: str

    @property
    def configuration(self) -> str:
        """As nnU-Net names model folders: TRAINER__PLANS__CONFIGURATION."""
        return self.model.absolute().name.rpartition("__")[2]


def prompts_as_seen(source: Source) -> tuple[str, list[Seen]]:
    """The structure that is prompted, the largest of the case, and a picture per kind of prompt.

    Raises `NNUNetPromptError` where the preprocessed case, its reference or the model's files are not as they were.
    """
    try:
        return _as_seen(source)
    except NNUNetPromptError:
        raise
    except Exception as error:  # nnU-Net's readers raise anything
        why = " ".join(f"{type(error).__name__} {error}".split())
        raise ModelError(
            f"{source.preprocessed}: case {source.case!r} cannot be shown as the network saw it ({why})"
        ) from error


def _as_seen(source: Source) -> tuple[str, list[Seen]]:
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans = PlansManager(read_object(source.model / "plans.json", ModelError))
    dataset_json = read_object(source.model / "dataset.json", ModelError)
    configuration = plans.get_configuration(source.configuration)
    folder = str(source.preprocessed / configuration.data_identifier)
    data, _, _, properties = infer_dataset_class(folder)(folder, [source.case]).load_case(
        source.case
    )
    image = np.asarray(data[:1], np.float32)[0]  # (Z, Y, X) of the grid, the first channel
    ending = str(dataset_json.get("file_ending", ".nii.gz"))
    table = structures_from_dataset_json(dataset_json)
    reader = ImageReader(
        str(plans.plans.get("image_reader_writer", ITK)), table.orientation, ending
    )
    volume = read_label_file(source.preprocessed / "gt_segmentations" / f"{source.case}{ending}")
    truth = reader.apply(volume).array
    shape = (int(image.shape[0]), int(image.shape[1]), int(image.shape[2]))
    grid = grid_of(properties, plans.transpose_forward, shape, configuration.spacing)
    known = table.annotated_labels(source.case)
    masks = {s.label: truth == s.label for s in table.structures if s.label in known}
    shown = {label: mask for label, mask in masks.items() if mask.any()}
    if not shown:
        raise ModelError(f"{volume.path}: holds no structure that could be prompted")
    label = max(shown, key=lambda one: int(shown[one].sum()))
    style = read_capability(source.model).style()
    window, found = Window((0, 0, 0), shape), []
    cut = _around(shown[label], grid.to_grid)
    for kind in VALIDATION_KINDS[1:]:
        sets = simulated_prompts(shown, kind, source.case, spacing=reader.spacing(volume))
        channels = np.zeros((N_PROMPT_CHANNELS, *shape), np.float32)
        GridPrompts.of(sets[label], grid.to_grid).encode(window, style, channels)
        found.append(_picture(kind, image, channels, Look(cut, grid.grid_spacing)))
    return _name(table.structures, label), found


def _name(structures: tuple[Structure, ...], label: int) -> str:
    return next(s.name for s in structures if s.label == label)


def _picture(kind: str, image: Array, channels: Array, look: Look) -> Seen:
    """The slice along the first axis of the grid with the most in all channels, of equals the middle one."""
    sums = channels.sum(axis=(0, 2, 3))
    most = np.flatnonzero(sums >= sums.max() - 1e-3)
    k = int(most[len(most) // 2])
    low, high = np.percentile(image, (1, 99))
    grey = np.clip((image[k] - low) / max(float(high - low), 1e-6), 0, 1)
    picture = np.repeat(grey[..., None], 3, axis=2) * 0.85
    for colour, strength, channel in zip(COLOURS, STRENGTH, channels[:, k], strict=True):
        value = (channel * strength)[..., None]
        picture = picture * (1 - value) + value * np.array(_rgb(colour))
    filled = [int(n) for n in np.flatnonzero(channels.any(axis=(1, 2, 3)))]
    caption = f"{kind} (slice {k + 1} of {len(image)}, {len(filled)} of {len(channels)} channels)"
    return Seen(kind, _data_uri(picture[look.cut], look.spacing), caption)


def _around(mask: npt.NDArray[np.bool_], to_grid: AxisMap) -> tuple[slice, slice]:
    """The rows and columns of the grid around a structure of the reader frame, with a margin."""
    box = bounding_box(mask)
    assert box is not None  # structures that are not there are not prompted
    (a, b, c), (d, e, f) = ((s.start for s in box), (s.stop for s in box))
    there = to_grid.box(Box((a, b, c), (d, e, f)))
    spans = [
        slice(max(0, int(low) - MARGIN), min(length, int(high) + MARGIN))
        for low, high, length in zip(there.lower, there.upper, to_grid.target_shape, strict=True)
    ]
    return spans[1], spans[2]


def _data_uri(picture: Array, spacing: tuple[float, ...]) -> str:
    from PIL import Image

    height, width = picture.shape[0] * spacing[1], picture.shape[1] * spacing[2]
    scale = WIDEST / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    colours = Image.fromarray(np.rint(picture * 255).astype(np.uint8))
    buffer = io.BytesIO()
    colours.resize(size, Image.Resampling.NEAREST).save(buffer, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _rgb(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
