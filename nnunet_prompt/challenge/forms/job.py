"""From the sockets of a job to what the network is asked, and from its answer to the files of the output sockets."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.challenge.forms.annotations import parse_annotation
from nnunet_prompt.challenge.forms.answer import Job
from nnunet_prompt.challenge.forms.inputs import SocketValue
from nnunet_prompt.challenge.forms.sockets import OutputSocket, Sockets
from nnunet_prompt.common.errors import DatasetError, ImageError, NNUNetPromptError, PromptFileError
from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.inference.merge import LabelMap
from nnunet_prompt.io import itk_file
from nnunet_prompt.io.atomic import make_folder
from nnunet_prompt.io.geometry import geometry_difference, same_geometry
from nnunet_prompt.io.image_cases import PLAIN, SEQUENCES
from nnunet_prompt.io.image_files import image_ending, read_label_file, without_image_ending
from nnunet_prompt.io.nifti import NiftiVolume, read_stored
from nnunet_prompt.io.save_mask import save_mask
from nnunet_prompt.prompt_files.located import place
from nnunet_prompt.prompt_files.prompt_file import load_prompts
from nnunet_prompt.prompt_files.prompts_json_convention import ALL_OPEN, GivenConvention
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.types import CasePrompts, PromptSet

_log = logging.getLogger(__name__)
Warn = Callable[[str], None]


def make_job(
    values: Sequence[SocketValue],
    sockets: Sockets,
    *,
    table: StructureTable,
    convention: GivenConvention = ALL_OPEN,
    warn: Warn = _log.warning,
) -> Job:
    """Reads the images, prompts and masks of a job; `table` has the model's structures.

    `convention` is what is known of a prompts.json of TFM4MedIA. Raises `NNUNetPromptError` in one line for what cannot
    be read or does not fit the first image.
    """
    volumes = read_images([one for one in values if one.socket.role == "image"])
    reference = next(iter(volumes.values()))
    for volume in volumes.values():
        for line in volume.remarks():
            warn(line)
    first = next(one for one in values if one.socket.role == "image" and _is_of(one, reference))
    names = tuple(n for n in (first.name, reference.path.name) if n)
    files = [one for one in values if one.socket.role == "prompts"]
    notes = [one for one in values if one.socket.role == "annotation"]
    stated = [_from_file(one, reference, names, convention, warn, table) for one in files]
    located = [p for one in notes for p in parse_annotation(one.json(), one.slug, one.socket)]
    if located:
        stated.append(place(located, reference, table, warn))
    return Job(
        without_image_ending(names[0]),
        volumes,
        _joined(stated, reference) if stated else None,
        _earlier([one for one in values if one.socket.role == "mask"], reference),
        sockets.structures,
        start=sockets.start == "structures",
    )


def read_images(values: Sequence[SocketValue]) -> dict[str, NiftiVolume]:
    """The images by tag, in the order of their channels, or sequences in their own. Raises `NNUNetPromptError`."""
    if not values:
        raise DatasetError("the job has no image: expected a socket whose role is image")
    sequences = [one for one in values if one.socket.sequence]
    if sequences and len(sequences) < len(values):
        names = ", ".join(one.slug for one in values)
        raise DatasetError(
            f"the images {names}: expected channels or sequences of a patient, found both"
        )
    ordered: dict[str, SocketValue]
    if sequences:
        tags: dict[str, SocketValue] = {str(one.socket.sequence): one for one in sequences}
        ordered = {tag: tags[tag] for tag in SEQUENCES if tag in tags}
    elif len(values) == 1:
        ordered = {PLAIN: values[0]}
    else:
        in_order = sorted(values, key=lambda one: one.socket.channel)
        ordered = {f"{one.socket.channel:04d}": one for one in in_order}
    if len(ordered) < len(values):
        names = ", ".join(one.slug for one in values)
        raise DatasetError(
            f"the images {names}: two have the same channel or sequence; change it in a sockets file"
        )
    return {tag: _one_channel(one) for tag, one in ordered.items()}


def write_outputs(
    labels: LabelMap,
    reference: NiftiVolume,
    sockets: Sockets,
    *,
    folder: Path,
    table: StructureTable,
) -> list[Path]:
    """Writes the mask of each output socket below `folder` and returns the paths."""
    image = without_image_ending(reference.path.name)
    written = []
    for slug, socket in sockets.outputs.items():
        target = folder / socket.target(slug, image)
        make_folder(target.parent)
        written.append(save_mask(_values(labels, slug, socket, table), target, like=reference))
    return written


def _values(
    labels: LabelMap, slug: str, socket: OutputSocket, table: StructureTable
) -> npt.NDArray[Any]:
    """The label map with the values of an output."""
    if socket.values is None:
        return labels
    made = np.zeros(labels.shape, np.min_scalar_type(max(socket.values.values(), default=0)))
    for name, value in socket.values.items():
        try:
            label = int(name) if name.isdecimal() else table.find(name).official
        except DatasetError as error:
            raise DatasetError(f"sockets: outputs.{slug}.values: {error}") from None
        made[labels == label] = value
    return made


def _one_channel(one: SocketValue) -> NiftiVolume:
    path = one.image()
    if image_ending(path.name) not in itk_file.ENDINGS:
        return read_stored(path)
    volumes = itk_file.read_itk(path)
    if len(volumes) > 1:
        raise ImageError(f"{path}: expected one image, found {len(volumes)} along its fourth axis")
    return volumes[0]


def _is_of(one: SocketValue, volume: NiftiVolume) -> bool:
    return volume.path in (one.path, one.path / volume.path.name)


def _from_file(
    one: SocketValue,
    reference: NiftiVolume,
    names: tuple[str, ...],
    convention: GivenConvention,
    warn: Warn,
    table: StructureTable,
) -> CasePrompts:
    """The prompts of a socket in any form that `predict -p` reads; those of the only case, however it is named."""
    with TemporaryDirectory() as folder:
        path = one.path
        if not path.is_file():
            path = Path(folder) / f"{one.slug}.json"
            path.write_text(json.dumps(one.json()), encoding="utf-8")
        file = load_prompts(path, convention=convention)
        stems = [without_image_ending(name) for name in names]
        keys = {without_image_ending(key): key for key in file.cases}
        key = next((keys[stem] for stem in stems if stem in keys), None)
        if key is None:
            key = next(iter(file.cases)) if len(file.cases) == 1 else stems[0]
        found = replace(file, table=table).for_images({key: reference.path}, table=table, warn=warn)
        if found.reading is not None:
            for line in found.reading.guessed:
                warn(line)
        return found.prompts(key, reference, warn=warn)


def _joined(stated: Sequence[CasePrompts], image: NiftiVolume) -> CasePrompts:
    """Several sets of prompts as one; of a prompts.json among others, slices limit nothing."""
    if len(stated) == 1:
        return stated[0]
    to_file = pls_map(image.affine, image.shape).inverse()
    sets: dict[int, PromptSet] = {}
    for one in stated:
        for label, given in one.labels.items():
            here = to_file.prompts(given) if one.frame == "PLS" else given
            before = sets.get(label, PromptSet())
            sets[label] = PromptSet(
                before.points + here.points,
                before.boxes + here.boxes,
                before.scribbles + here.scribbles,
                _union(before.mask, here.mask),
                _union(before.negative_mask, here.negative_mask),
            )
    named = {k: name for one in stated for k, name in one.named.items() if k not in sets}
    return CasePrompts(sets, named=named)


def _union(a: npt.NDArray[np.bool_] | None, b: npt.NDArray[np.bool_] | None) -> Any:
    return b if a is None else a if b is None else a | b


def _earlier(values: Sequence[SocketValue], image: NiftiVolume) -> LabelMap | None:
    """The label map of an earlier round; None where there is none, or nothing in it."""
    if not values:
        return None
    if len(values) > 1:
        names = ", ".join(one.slug for one in values)
        raise PromptFileError(f"the sockets {names}: expected one earlier mask")
    mask = read_label_file(values[0].image())
    if not same_geometry(mask, image):
        raise ImageError(
            f"{mask.path}: socket {values[0].slug!r}: has another geometry than {image.path}:"
            f" {geometry_difference(mask, image)}"
        )
    if mask.array.min(initial=0) < 0:
        raise NNUNetPromptError(f"{mask.path}: labels must be integers from 0 up")
    return mask.array if mask.array.any() else None
