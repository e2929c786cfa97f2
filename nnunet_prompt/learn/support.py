"""The support set: one to ten labelled cases, preprocessed as the model's training cases were."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnunet_prompt.common.errors import DatasetError, ImageError
from nnunet_prompt.data.structures import BLOCK, Structure, StructureTable, without_cases
from nnunet_prompt.evaluation.names import NamesLike, read_names
from nnunet_prompt.inference.given import as_volumes, check_channels
from nnunet_prompt.inference.model_folder import LoadedModel
from nnunet_prompt.io.geometry import geometry_difference, same_geometry
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.learn.support_files import read_labels, support_files


@dataclass(frozen=True, slots=True, eq=False)
class SupportCase:
    """A labelled case on the model's grid.

    image: (C, Z, Y, X), float32, preprocessed
    labels: (Z, Y, X), the label of each voxel; -1 outside of what nnU-Net crops to
    locations: by label, voxels of it, (N, 4), as nnU-Net's loader takes them
    """

    name: str
    image: Tensor
    labels: npt.NDArray[np.int16]
    locations: Mapping[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Support:
    """The support set and the data set that it describes.

    sha256 depends on the voxels of images and label maps after preprocessing, not on names or order
    """

    cases: tuple[SupportCase, ...]
    table: StructureTable
    dataset_json: dict[str, Any]
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    name: str
    images: tuple[NiftiVolume, ...]
    labels: NiftiVolume


def read_support(
    images: Path, labels: Path, model: LoadedModel, *, names: NamesLike = None
) -> Support:
    """Reads and preprocesses the cases of two folders that have an image and a label map.

    Each value of the label maps is a structure. It is called as `names` has it (`evaluation.names`), else
    `label_VALUE`, and is written as that value by `predict`. Raises `NNUNetPromptError` for anything that cannot be
    used, naming it.
    """
    read = [
        _read(name, files, label, model)
        for name, files, label in support_files(
            images, labels, model.reader, model.n_image_channels
        )
    ]
    values = sorted({int(v) for one in read for v in np.unique(one.labels.array)} - {0})
    known = read_names(names, labels, labels)
    described = known.of(values)
    wanted = [v for v in values if v != known.ignore]
    if not wanted:
        raise DatasetError(f"{labels}: the label maps are empty, expected the structures to learn")
    if wanted[0] < 0:
        raise DatasetError(f"{labels}: found the label {wanted[0]}, expected values from 1 on")
    table = StructureTable(
        tuple(
            Structure(described.get(value, f"label_{value}"), k, (k,), value)
            for k, value in enumerate(wanted, start=1)
        ),
        model.table.orientation,
    )
    ignore = known.ignore if known.ignore in values else None
    dataset_json = _dataset_json(model, table, len(read), ignore=ignore is not None)
    ids = {value: k for k, value in enumerate(wanted, start=1)}
    ids |= {} if ignore is None else {ignore: len(wanted) + 1}
    cases = tuple(_preprocessed(one, model, dataset_json, ids) for one in read)
    _check_shown(cases, table, labels)
    return Support(cases, table, dataset_json, _hash(cases))


def _read(name: str, files: Sequence[Path], label: Path, model: LoadedModel) -> _Read:
    volumes = as_volumes(list(files), model.reader)
    labels = read_labels(label, model.reader)
    if not same_geometry(labels, volumes[0]):
        raise ImageError(
            f"{label}: has another geometry than {volumes[0].path}: {geometry_difference(labels, volumes[0])}"
        )
    moved = tuple(model.reader.apply(volume) for volume in volumes)
    check_channels(moved, model.n_image_channels)
    return _Read(name, tuple(volumes), labels)


def _preprocessed(
    case: _Read, model: LoadedModel, dataset_json: dict[str, Any], ids: Mapping[int, int]
) -> SupportCase:
    """nnU-Net's own preprocessing of the whole case, as before its training."""
    reader = model.reader
    channels = [reader.apply(volume).array for volume in case.images]
    official = reader.apply(case.labels).array
    labels = np.zeros(official.shape, np.int16)
    for value, label in ids.items():
        labels[official == value] = label
    preprocessor = model.configuration.preprocessor_class(verbose=False)
    data, seg, properties = preprocessor.run_case_npy(
        np.stack(channels).astype(np.float32, copy=False),
        labels[None],
        {"spacing": list(reader.spacing(case.images[0]))},
        model.plans,
        model.configuration,
        dataset_json,
    )
    image = torch.from_numpy(np.ascontiguousarray(data, np.float32))
    return SupportCase(case.name, image, seg[0].astype(np.int16), properties["class_locations"])


def _dataset_json(
    model: LoadedModel, table: StructureTable, n_cases: int, *, ignore: bool
) -> dict[str, Any]:
    """That of the model, with the structures of the support; nothing in it names a case."""
    labels = {"background": 0, **{s.name: s.label for s in table.structures}}
    if ignore:
        labels["ignore"] = len(labels)
    return {
        **without_cases(model.dataset_json),
        "labels": labels,
        "numTraining": n_cases,
        BLOCK: table.to_block(),
    }


def _check_shown(cases: Sequence[SupportCase], table: StructureTable, labels: Path) -> None:
    """A thin structure may be lost on a coarse grid."""
    for structure in table.structures:
        if not any((case.labels == structure.label).any() for case in cases):
            raise DatasetError(
                f"{labels}: {structure.name} ({structure.official}) has no voxel left on the grid of the model,"
                " it is too small for it"
            )


def _hash(cases: Sequence[SupportCase]) -> str:
    each = sorted(
        hashlib.sha256(case.image.numpy().tobytes() + case.labels.tobytes()).hexdigest()
        for case in cases
    )
    return hashlib.sha256("".join(each).encode()).hexdigest()
