"""The last step of augmentation: from image and labels to image with prompts and the targets of all heads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from scipy import ndimage
from torch import Tensor

from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS
from nnunet_prompt.prompts.checks import BoolArray
from nnunet_prompt.prompts.encode import PromptStyle, Window, stamp
from nnunet_prompt.prompts.simulate import simulate
from nnunet_prompt.prompts.types import Box, Point, PromptSet, Scribble
from nnunet_prompt.prompts.voxels import bounding_box
from nnunet_prompt.training.loss import UNKNOWN
from nnunet_prompt.training.mixture import PromptMixture


@dataclass(slots=True)
class CaseNote:
    """Which case the loader has just loaded. nnU-Net's loader calls its transforms without the case's name."""

    case: str = field(
        default="", repr=False
    )  # nnU-Net writes the repr of its transforms into debug.json


class Progress:
    """How many iterations of the training have begun, by whole epochs.

    The number lies in shared memory, so that processes that load patches see it, forked or spawned; they work some
    batches ahead.
    """

    def __init__(self) -> None:
        self._begun = torch.zeros(1, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    @property
    def iteration(self) -> int:
        return int(self._begun[0])

    @iteration.setter
    def iteration(self, value: int) -> None:
        self._begun[0] = value

    def __repr__(self) -> str:  # nnU-Net writes the repr of its transforms into debug.json
        return "Progress()"


class NotedDataset:
    """nnU-Net's data set, writing the name of each case it loads on a `CaseNote`.

    Loader, data set, note and transform travel to a worker process together, so there the note is shared as well.
    """

    def __init__(self, dataset: Any, note: CaseNote) -> None:
        self.dataset = dataset
        self.note = note
        self.identifiers = dataset.identifiers

    def load_case(self, identifier: str) -> Any:
        self.note.case = identifier
        return self.dataset.load_case(identifier)


@dataclass(frozen=True, slots=True)
class Targets:
    """The settings that all patches of a training share.

    table: the heads
    style: how prompts look on the grid
    mixture: how often which prompts are shown
    slice_axis: the axis of the patch through the slices
    ignore_label: unknown in every head
    batch_size: samples of a batch, whose slots are shown prompts by rotation
    """

    table: StructureTable
    style: PromptStyle
    mixture: PromptMixture
    slice_axis: int = 0
    ignore_label: int | None = None
    batch_size: int = 2


class SimulatePrompts(BasicTransform):
    """Adds the seven prompt channels to the image and makes of the label map the targets of 1 + K heads.

    In: image (C, *patch) and segmentation (1, *patch). Out: image (C + 7, *patch) and segmentation (1 + K, *patch),
    int8 with -1 for unknown. It runs after every spatial and intensity augmentation, so prompts are never resampled
    or augmented, and before the downsampling for deep supervision. Patches of two axes are one slice.

    Supervision follows what is shown: a sample without prompts trains the structure heads and leaves the object head
    unknown; one with prompts trains the object head, and the heads of the structures that it does not point at. A
    head that saw its own structure pointed at would learn to copy the prompt, and be lost without one. Both kinds of
    sample alternate over the slots of the batch, because nnU-Net centres some slots on foreground and others not.
    """

    def __init__(self, targets: Targets, note: CaseNote, progress: Progress | None = None) -> None:
        super().__init__()
        self.targets = targets
        self.note = note
        self.progress = progress  # None: as late in the training
        self._samples = 0  # each worker counts its own, and makes whole batches

    def get_parameters(self, **data_dict: Any) -> dict[str, Any]:
        promptless = self._is_promptless()
        rng = seeded_generator()
        labels = data_dict["segmentation"][0].numpy()
        labels = labels[None] if labels.ndim == 2 else labels
        heads = head_targets(labels, self.targets, self.note.case)
        if promptless:
            heads[0] = UNKNOWN
            return {"heads": heads, "prompts": PromptSet()}
        prompted = self.targets.table.prompted_labels(self.note.case)
        prompts = draw_object(heads, labels, rng, self.targets, prompted=prompted)
        return {"heads": heads, "prompts": prompts}

    def _is_promptless(self) -> bool:
        batch, slot = divmod(self._samples, self.targets.batch_size)
        self._samples += 1
        iteration = None if self.progress is None else self.progress.iteration
        return self.targets.mixture.is_promptless(slot + batch, iteration)

    def apply(self, data_dict: dict[str, Any], **params: Any) -> dict[str, Any]:
        image: Tensor = data_dict["image"]
        heads: npt.NDArray[np.int8] = params["heads"]
        shape, patch = heads.shape[1:], image.shape[1:]
        # of numpy's zeros only what is written to becomes memory: most of the prompt channels never does
        channels = np.zeros((len(image) + N_PROMPT_CHANNELS, *shape), np.float32)
        stamp(
            params["prompts"],
            Window((0, 0, 0), shape),
            self.targets.style,
            channels[len(image) :],
        )
        shown = torch.from_numpy(channels).reshape(-1, *patch)
        shown[: len(image)] = image
        data_dict["image"] = shown.to(image.dtype)
        data_dict["segmentation"] = torch.from_numpy(heads).reshape(-1, *patch)
        return data_dict


def seeded_generator() -> np.random.Generator:
    """A generator from numpy's global state, which is the one that nnU-Net reseeds in each worker; torch's is not."""
    return np.random.default_rng(np.random.randint(0, 2**31 - 1, size=4))  # noqa: NPY002


def head_targets(
    labels: npt.NDArray[np.integer[Any]], targets: Targets, case: str
) -> npt.NDArray[np.int8]:
    """Targets (1 + K, *labels.shape) of all heads, with an empty object head.

    A structure that `case` does not annotate is unknown everywhere; the ignore label is unknown in every head.
    """
    table = targets.table
    known = table.annotated_labels(case)
    heads = np.zeros((1 + len(table.structures), *labels.shape), np.int8)
    for structure in table.structures:
        if structure.label not in known:
            heads[structure.label] = UNKNOWN
        else:
            inside = heads[structure.label].view(bool)
            first, *more = structure.members
            np.equal(labels, first, out=inside)
            for member in more:
                inside |= labels == member
    if targets.ignore_label is not None:
        heads[:, labels == targets.ignore_label] = UNKNOWN
    return heads


def draw_object(
    heads: npt.NDArray[np.int8],
    labels: npt.NDArray[np.integer[Any]],
    rng: np.random.Generator,
    targets: Targets,
    *,
    prompted: frozenset[int] = frozenset(),
) -> PromptSet:
    """Draws the object of this patch and its prompts, and writes the object head's target into `heads`, in place.

    `heads` are those of `head_targets`, with an empty object head. The object is a structure that its own head knows,
    or one of those in `prompted` (labels of structures that the label map shows although their heads do not learn
    them). Heads of structures that prompts point at, positive or negative, become unknown, unless the mixture states
    otherwise.

    A structure that is a union is drawn whole or as its own label alone, since prompts files do either. Without a
    structure in the patch, or where nothing positive comes out, there is no prompt and the object head is unknown, as
    in a sample that is to be shown none.
    """
    mixture = targets.mixture
    kind = mixture.draw_kind(rng)
    shown = _shown(heads, labels, targets.table, prompted)
    present = list(shown)
    if not present:
        heads[0] = UNKNOWN
        return PromptSet()
    own = _own(shown, labels, targets.table)
    chosen, target = _choose(shown, own, rng, mixture)
    others = [own[k] for k in present if k != chosen]
    options = mixture.draw_options(rng, slice_axis=targets.slice_axis)
    prompts = simulate(target, rng, kind=kind, others=others, options=options)
    if not prompts.says_where:
        heads[0] = UNKNOWN
        return PromptSet()
    if mixture.hide:
        negative = _says_no(prompts)
        hidden = [k for k in present if negative or target[shown[k]].any()]
    heads[0] |= target.view(np.int8)  # unknown is -1, all of its bits are set
    if mixture.hide:
        heads[hidden] = UNKNOWN
    return prompts


def _says_no(prompts: PromptSet) -> bool:
    """Whether something negative is stated, which shows where other structures are."""
    said: list[Point | Box | Scribble] = [*prompts.points, *prompts.boxes, *prompts.scribbles]
    return prompts.negative_mask is not None or not all(p.positive for p in said)


def _choose(
    shown: dict[int, BoolArray],
    own: dict[int, BoolArray],
    rng: np.random.Generator,
    mixture: PromptMixture,
) -> tuple[int, BoolArray]:
    """One of the structures shown, and what of it is the object: all, its own label, one component, or a union."""
    present = list(shown)
    chosen = int(rng.choice(present))
    target = shown[chosen]
    if own[chosen].any() and rng.random() < 0.5:
        target = own[chosen]
    if len(present) > 1 and rng.random() < mixture.p_union:
        target = target | shown[int(rng.choice([k for k in present if k != chosen]))]
    if rng.random() < mixture.p_component:
        target = _one_component(target, rng)
    return chosen, target


def _shown(
    heads: npt.NDArray[np.int8],
    labels: npt.NDArray[np.integer[Any]],
    table: StructureTable,
    prompted: frozenset[int],
) -> dict[int, BoolArray]:
    """The masks of the structures in a patch, by label: of those with a head that knows them, and of `prompted`.

    They may be views of `heads`.
    """
    masks: dict[int, BoolArray] = {}
    for s in table.structures:
        head = heads[s.label]
        mask = head.view(bool) if head.min(initial=0) == 0 else head == 1
        if s.label in prompted and not mask.any():
            mask = np.isin(labels, s.members)
        if mask.any():
            masks[s.label] = mask
    return masks


def _own(
    shown: dict[int, BoolArray], labels: npt.NDArray[np.integer[Any]], table: StructureTable
) -> dict[int, BoolArray]:
    """Each of the structures shown, without the other members of its union."""
    alone = {s.label for s in table.structures if s.members == (s.label,)}
    return {k: mask if k in alone else labels == k for k, mask in shown.items()}


def _one_component(target: BoolArray, rng: np.random.Generator) -> BoolArray:
    box = bounding_box(target)
    assert box is not None  # a structure that is shown has voxels
    labelled, count = ndimage.label(target[box])
    component = np.zeros_like(target)
    component[box] = labelled == int(rng.integers(1, count + 1))
    return component
