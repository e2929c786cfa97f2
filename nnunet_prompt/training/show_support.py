"""Samples that are shown a support instead of prompts: another case of the fold, and a mask of what to find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from torch import Tensor

from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.prompts.types import PromptSet
from nnunet_prompt.training.loss import UNKNOWN
from nnunet_prompt.training.mixture import takes_turn
from nnunet_prompt.training.regions import FEWEST, Region, draw_region
from nnunet_prompt.training.transform import (
    CaseNote,
    NotedDataset,
    SimulatePrompts,
    head_targets,
    seeded_generator,
)

P_ABSENT = 0.15  # of the samples are asked for a structure that their patch does not show
TRIES = 4  # cases that are looked at for one that shows the structure
Support = tuple[Tensor, Tensor]  # an image (C, *patch) and a mask (1, *patch)


@dataclass(frozen=True, slots=True)
class SupportShares:
    """How often a sample has a support, and which share of these ask for a region instead of a structure."""

    support: float = 0.34
    regions: float = 0.9


@dataclass(slots=True)
class SupportNote(CaseNote):
    """What the loader has decided on the sample that it has just loaded, and where its support comes from.

    supported: the sample has a support
    region: what it asks for; None: a structure
    dataset: the cases, which note themselves here
    augment: nnU-Net's augmentation, which cuts out the patch; the trainer notes it, and
    size: what is cut out before, (Z, Y, X), or (Y, X) of one slice
    """

    supported: bool = field(default=False, repr=False)
    region: Region | None = field(default=None, repr=False)
    dataset: SupportDataset | None = field(default=None, repr=False)
    augment: BasicTransform | None = field(default=None, repr=False)
    size: tuple[int, ...] = field(default=(), repr=False)


class SupportDataset(NotedDataset):
    """Decides which samples have a support, evenly spread, and adds to their labels the mask of a region.

    It also is where the transform draws the support from.
    """

    note: SupportNote

    def __init__(
        self,
        dataset: Any,
        note: SupportNote,
        table: StructureTable,
        *,
        shares: SupportShares,
    ) -> None:
        super().__init__(dataset, note)
        self.table, self.shares = table, shares
        self._loaded = 0  # each worker counts its own
        note.dataset = self

    def load_case(self, identifier: str) -> Any:
        loaded = super().load_case(identifier)
        supports = int(self._loaded * self.shares.support)  # so many before this sample
        self.note.region = None
        self.note.supported = takes_turn(self._loaded, self.shares.support)
        self._loaded += 1
        if self.note.supported and takes_turn(supports, self.shares.regions):
            data, labels, *rest = loaded
            return (data, _WithRegion(data, labels, self), *rest)
        return loaded

    @property
    def deep_size(self) -> tuple[int, ...]:
        """The size of what is cut out, with three axes."""
        return (1,) * (3 - len(self.note.size)) + self.note.size

    def structure(self, structure: Structure, rng: np.random.Generator) -> Support | None:
        """Another case that annotates a structure, and its mask; None where none that was looked at shows it."""
        others = [
            case
            for case in self.identifiers
            if case != self.note.case and structure.label in self.table.annotated_labels(case)
        ]
        for case in rng.permutation(np.asarray(others, dtype=object))[:TRIES]:
            data, labels, _, properties = self.dataset.load_case(case)
            voxels = _voxels(structure, properties["class_locations"])
            if len(voxels):
                box = self._box(voxels[int(rng.integers(len(voxels)))][1:], data.shape[1:])
                cut = crop_and_pad_nd(labels, box, -1, cast_cropped_to=np.int16)
                return self._augmented(data, box, np.isin(cut, structure.members))
        return None

    def region(self, region: Region, rng: np.random.Generator) -> Support | None:
        """Another case that annotates the same structures, and a region in it; None where it has too few voxels."""
        known = self.table.annotated_labels(self.note.case)
        others = [
            case
            for case in self.identifiers
            if case != self.note.case and self.table.annotated_labels(case) == known
        ]
        if not others:
            return None
        data, *_ = self.dataset.load_case(others[int(rng.integers(len(others)))])
        shape = data.shape[1:]
        box = self._box(region.centre(shape), shape)
        image = crop_and_pad_nd(data, box, 0)[region.channel].astype(np.float32)
        mask = region.inside(image, [low for low, _ in box], shape)
        return self._augmented(data, box, mask[None]) if mask.sum() >= FEWEST else None

    def _augmented(
        self, data: Any, box: list[list[int]], mask: npt.NDArray[np.bool_]
    ) -> Support | None:
        assert self.note.augment is not None  # the trainer notes it
        image = torch.from_numpy(crop_and_pad_nd(data, box, 0)).float()
        inside = torch.from_numpy(mask.astype(np.int16))
        if len(self.note.size) == 2:
            image, inside = image[:, 0], inside[:, 0]
        made = self.note.augment(image=image, segmentation=inside)
        found = made["segmentation"] > 0
        return (made["image"], found) if found.any() else None

    def _box(self, centre: Sequence[int], shape: Sequence[int]) -> list[list[int]]:
        """Around a voxel, within the image where it is large enough, as nnU-Net's loader does it."""
        box = []
        for voxel, length, have in zip(centre, self.deep_size, shape, strict=True):
            spare = have - length
            low = spare // 2 if spare < 0 else min(max(int(voxel) - length // 2, 0), spare)
            box.append([low, low + length])
        return box


class _WithRegion:
    """The labels of a case: what is cut out of them has a second channel, a region of the image there."""

    def __init__(self, data: Any, labels: Any, dataset: SupportDataset) -> None:
        self.data, self.labels, self.dataset = data, labels, dataset
        self.shape, self.dtype = labels.shape, labels.dtype

    def __getitem__(self, where: Any) -> npt.NDArray[np.int16]:
        labels = np.asarray(self.labels[where]).astype(np.int16)
        rng = seeded_generator()
        image = np.asarray(self.data[(slice(None), *where[1:])]).astype(np.float32)
        low, shape = [s.start for s in where[1:]], self.shape[1:]
        region = draw_region(image, low, shape, rng, patch=self.dataset.deep_size)
        self.dataset.note.region = region
        inside = region.inside(image[region.channel], low, shape)
        return np.concatenate([labels, inside[None].astype(np.int16)])


class ShowSupport(SimulatePrompts):
    """As `SimulatePrompts`, but a share of the samples has a support, and all have channels for one behind the prompts.

    Out: image (C + 7 + C + 1, *patch), the last ones the image of another case and the mask of what to find there, or
    zeros. A sample with a support trains the object head to find the same here; its structure heads stay unknown.
    """

    note: SupportNote

    def get_parameters(self, **data_dict: Any) -> dict[str, Any]:
        found = None
        if self.note.supported:
            found = self._with_support(data_dict["segmentation"].numpy())
        return found or {**super().get_parameters(**data_dict), "support": None}

    def _with_support(self, segmentation: npt.NDArray[Any]) -> dict[str, Any] | None:
        rng, cases = seeded_generator(), self.note.dataset
        assert cases is not None  # it has loaded the sample
        labels, *region = [m[None] if m.ndim == 2 else m for m in segmentation]
        heads = head_targets(labels, self.targets, self.note.case)
        if region:
            assert self.note.region is not None  # the data set has drawn both
            support = cases.region(self.note.region, rng)
            ignored = heads[0] == UNKNOWN
            heads[0] = region[0] > 0
            heads[0][ignored] = UNKNOWN
        else:
            structure = self._choose(heads, rng)
            support = None if structure is None else cases.structure(structure, rng)
            heads[0] = heads[0] if structure is None else heads[structure.label]
        if support is None:
            return None
        heads[1:] = UNKNOWN
        return {"heads": heads, "prompts": PromptSet(), "support": support}

    def _choose(self, heads: npt.NDArray[np.int8], rng: np.random.Generator) -> Structure | None:
        """A structure that the case annotates, mostly one that the patch shows."""
        table = self.targets.table
        known = [s for s in table.structures if s.label in table.annotated_labels(self.note.case)]
        present = [s for s in known if (heads[s.label] == 1).any()]
        choice = known if not present or rng.random() < P_ABSENT else present
        return choice[int(rng.integers(len(choice)))] if choice else None

    def apply(self, data_dict: dict[str, Any], **params: Any) -> dict[str, Any]:
        channels = len(data_dict["image"])
        data_dict = super().apply(data_dict, **params)
        image: Tensor = data_dict["image"]
        shown = image.new_zeros((channels + 1, *image.shape[1:]))
        if params["support"] is not None:
            shown[:channels], shown[channels:] = params["support"]
        data_dict["image"] = torch.cat([image, shown])
        return data_dict


def _voxels(structure: Structure, locations: dict[Any, Any]) -> npt.NDArray[np.integer[Any]]:
    """The voxels (N, 4) of a structure that nnU-Net's preprocessing has kept."""
    found = [locations[m] for m in structure.members if len(locations.get(m, ())) > 0]
    return np.concatenate(found) if found else np.empty((0, 4), np.int64)
