"""One mask from all images of a case: what a model of one channel sees in each sequence of a patient is weighed.

Every sequence is shown with the same prompts. Per label and voxel the probabilities are averaged with the weights of
`TRUST` over the sequences that hold anything there; the label with the highest mean above one half wins, in slices
where it was prompted. A sequence alone is predicted as any image.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.inference.by_name import add_named
from nnunet_prompt.inference.case_runner import Predictor
from nnunet_prompt.inference.merge import LabelMap, label_type, merge_objects, slice_gate
from nnunet_prompt.inference.object_logits import ObjectLogits
from nnunet_prompt.io.geometry import Lattice, same_geometry
from nnunet_prompt.io.image_cases import STACKED, are_sequences
from nnunet_prompt.io.nifti import NiftiVolume, read_stored
from nnunet_prompt.prompts.frames import AxisMap, crop, pls_map
from nnunet_prompt.prompts.spans import Spans, is_empty, slices_in, union
from nnunet_prompt.prompts.types import CasePrompts

_log = logging.getLogger(__name__)

SLAB = 4_000_000  # probabilities that are merged at a time
Warn = Callable[[str], None]

# How far each sequence is trusted for a label of MyoPS, beside the others. Scar is bright in LGE and edema in T2; blood
# and muscle differ most in C0 (cine), then in LGE, where the muscle is dark but for its scar. The best sequence
# outweighs the others together; where it is missing, the second outweighs the third. Chosen so, not fitted to data.
_SHAPE = MappingProxyType({"C0": 1.0, "LGE": 0.5, "T2": 0.25})
TRUST: Mapping[int, Mapping[str, float]] = MappingProxyType(
    {
        200: _SHAPE,  # healthy myocardium
        500: _SHAPE,  # blood of the left ventricle
        600: _SHAPE,  # blood of the right ventricle
        1220: MappingProxyType({"T2": 1.0, "LGE": 0.2, "C0": 0.1}),  # edema
        2221: MappingProxyType({"LGE": 1.0, "T2": 0.2, "C0": 0.1}),  # scar
    }
)


def trust(label: int, sequence: str) -> float:
    """The weight of a sequence for a label, above 0; 1 for undocumented labels."""
    return TRUST.get(label, {}).get("LGE" if sequence == "DE" else sequence, 1.0)


def read_nifti_channels(path: Path) -> tuple[NiftiVolume, ...]:
    """The one channel of a NIfTI file."""
    return (read_stored(path),)


def read_case(
    files: Mapping[str, Path],
    *,
    warn: Warn = _log.warning,
    read: Callable[[Path], Sequence[NiftiVolume]] = read_nifti_channels,
) -> dict[str, NiftiVolume]:
    """The images that `ImageCase.pick` names, by the same tags; the mask has the grid of the first.

    Where `read` finds several channels in a file, each has a tag of its own. A sequence that cannot be read is left
    out, which is reported to `warn`, as long as another can. Raises `ImageError` for the first that cannot be read
    otherwise, and for channels of different shapes.
    """
    volumes: dict[str, NiftiVolume] = {}
    failed: list[ImageError] = []
    for tag, path in files.items():
        try:
            first, *others = read(path)
            volumes[tag] = first
            volumes |= {f"{tag}.{k}": other for k, other in enumerate(others, start=1)}
        except ImageError as error:
            if not are_sequences(files):
                raise
            failed.append(error)
    if not volumes:
        raise failed[0]
    for reason in failed:
        warn(f"{reason}; this sequence is left out")
    shapes = [v.shape for v in volumes.values()]
    # a reader that reorients takes channels with other axes first; the predictor compares what it makes of them
    if len({tuple(sorted(shape)) for shape in shapes}) > 1 and not are_sequences(files):
        raise ImageError(
            f"its images have the shapes {shapes}; channels must have the same geometry"
        )
    return volumes


def predict_case(
    predictor: Predictor,
    volumes: Mapping[str, NiftiVolume],
    prompts: CasePrompts,
    *,
    warn: Warn = _log.warning,
) -> LabelMap:
    """Predicts the objects that prompts point at: their label ids on the file grid of the first volume.

    `volumes` are those of `read_case`. A model of one channel is asked for each sequence, one at a time; one of three
    takes them as the channels `STACKED`, zeros where one is missing, as its training data had them. Sequences on
    another grid, and those that cannot be predicted for their own sake, are left out, which is reported to `warn`.
    What `prompts.named` names is looked for in the sequence that is trusted most for it. Raises like
    `predict_prompts`.
    """
    reference = next(iter(volumes.values()))
    labels: LabelMap = np.zeros(reference.shape, np.uint8)
    if prompts.says_where:
        labels = _pointed(predictor, volumes, replace(prompts, named={}), warn)
    if not prompts.named:
        return labels
    ask = partial(_structures, predictor, volumes)
    to_pls = pls_map(reference.affine, reference.shape)
    return add_named(labels, prompts, predictor.table, ask, to_pls)


def _pointed(
    predictor: Predictor, volumes: Mapping[str, NiftiVolume], prompts: CasePrompts, warn: Warn
) -> LabelMap:
    """What the prompts point at."""
    if not are_sequences(volumes):
        return np.asarray(predictor.predict_prompts(list(volumes.values()), prompts))
    here = _on_one_grid(volumes, warn)
    if predictor.n_image_channels == len(STACKED):
        return np.asarray(predictor.predict_prompts(_stack(here, warn), prompts))
    if len(here) == 1:
        return np.asarray(predictor.predict_prompts(list(here.values()), prompts))
    votes = _Votes()
    failed: list[NNUNetPromptError] = []
    for tag, volume in here.items():
        try:
            said = predictor.object_logits([volume], prompts)
        except NNUNetPromptError as error:
            failed.append(error)
            continue
        votes.add(said, [trust(label, tag) for label in said.labels])
    if len(failed) == len(here):
        raise failed[0]
    for reason in failed:
        warn(f"{reason}; this sequence is left out")
    reference = next(iter(here.values()))
    return votes.merge(prompts, pls_map(reference.affine, reference.shape))


def _structures(
    predictor: Predictor, volumes: Mapping[str, NiftiVolume], names: Sequence[str]
) -> LabelMap:
    """The structures of these names, each in the sequence that is trusted most for it: official values."""
    if not are_sequences(volumes):
        return predictor.predict_structures(list(volumes.values()), names)
    here = _on_one_grid(volumes, _log.debug)  # what is left out was reported, or will be
    if predictor.n_image_channels == len(STACKED):
        return predictor.predict_structures(_stack(here, _log.debug), names)
    by_tag: dict[str, list[str]] = {}
    for name in names:
        official = predictor.table.find(name).official
        by_tag.setdefault(max(here, key=partial(trust, official)), []).append(name)
    found = [predictor.predict_structures([here[tag]], some) for tag, some in by_tag.items()]
    labels = np.zeros(found[0].shape, np.result_type(*found))
    for one in found:
        np.copyto(labels, one, where=labels == 0)
    return labels


@dataclass(slots=True)
class _Votes:
    """The weighted sum of probabilities (L, *part), and each voter's weights and where it saw anything.

    The part lies at `box` in the file frame. Probabilities have 64 bits, so that of two labels that are certain the
    more certain one wins.
    """

    labels: tuple[int, ...] = ()
    box: Spans = field(default_factory=lambda: union([]))
    total: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0, 0, 0)))
    voters: list[tuple[Spans, npt.NDArray[np.float64]]] = field(default_factory=list)

    def add(self, answer: ObjectLogits, weights: Sequence[float]) -> None:
        """Adds what was seen in one image, with one weight per label; all images have the same labels."""
        from scipy.special import expit

        self.labels = answer.labels
        self._reserve(answer.box)
        here = slices_in(answer.box, self.box)
        for i, weight in enumerate(weights):
            self.total[i][here] += weight * expit(answer.logits[i], dtype=np.float64)
        self.voters.append((answer.seen, np.asarray(weights)))

    def merge(self, prompts: CasePrompts, to_pls: AxisMap) -> LabelMap:
        """The label map in the file frame, which `to_pls` maps to PLS."""
        labels = np.zeros(to_pls.source_shape, label_type(self.labels))
        (low, high), *rest = self.box
        plane = max(1, len(self.labels) * int(np.prod([b - a for a, b in rest])))
        step = max(1, SLAB // plane)
        for start in range(low, high, step):
            slab = [(start, min(start + step, high)), *rest]
            gate = None
            if prompts.slices is not None:
                from_slab = crop(to_pls.source_shape, slab).inverse().then(to_pls)
                gate = slice_gate(
                    prompts.slices, self.labels, from_slab, slice_axis=prompts.slice_axis
                )
            inside = tuple(slice(a, b) for a, b in slab)
            labels[inside] = merge_objects(self._mean(slab) - 0.5, self.labels, gate)
        return labels

    def _mean(self, slab: Spans) -> npt.NDArray[np.float64]:
        """The mean probabilities (L, *slab); 0 where no image holds anything."""
        total = self.total[(slice(None), *slices_in(slab, self.box))]
        weight = np.zeros(total.shape)
        for seen, weights in self.voters:
            weight[(slice(None), *slices_in(seen, slab))] += weights[:, None, None, None]
        return np.divide(total, weight, out=np.zeros(total.shape), where=weight > 0)

    def _reserve(self, box: Spans) -> None:
        """Makes room for a box."""
        boxes = [b for b in (self.box, box) if not is_empty(b)]
        grown = union(boxes)
        if grown == self.box and len(self.total) == len(self.labels):
            return
        total = np.zeros((len(self.labels), *(b - a for a, b in grown)))
        if self.total.size:
            total[(slice(None), *slices_in(self.box, grown))] = self.total
        self.box, self.total = grown, total


def _on_one_grid(volumes: Mapping[str, NiftiVolume], warn: Warn) -> dict[str, NiftiVolume]:
    """The volumes on the file grid of the first; those that lie on another grid are left out."""
    reference, *_ = volumes.values()
    here: dict[str, NiftiVolume] = {}
    for tag, volume in volumes.items():
        turned = _turned(volume, reference)
        if turned is not None:
            here[tag] = turned
        elif volume.shape == reference.shape:
            # as `convert myops` does it: the aligned copy of the data is registered, whatever its headers state
            warn(f"{volume.path}: its affine differs from {reference.path.name}, whose is taken")
            here[tag] = replace(volume, affine=reference.affine)
        else:
            warn(
                f"{volume.path}: has another geometry than {reference.path.name} ({volume.shape} and"
                f" {reference.shape}); this sequence is left out"
            )
    return here


def _turned(volume: NiftiVolume, reference: NiftiVolume) -> NiftiVolume | None:
    """The volume with its axes as the reference has them, or None if their voxels lie elsewhere."""
    to_pls = pls_map(volume.affine, volume.shape)
    back = pls_map(reference.affine, reference.shape).inverse()
    if to_pls.target_shape != back.source_shape:
        return None
    turn = to_pls.then(back)
    affine = volume.affine @ np.linalg.inv(turn.matrix())
    if not same_geometry(Lattice(reference.shape, affine), reference):
        return None
    return replace(volume, array=turn.apply(volume.array), affine=reference.affine)


def _stack(here: Mapping[str, NiftiVolume], warn: Warn) -> list[NiftiVolume]:
    """The sequences as the channels `STACKED`."""
    reference = next(iter(here.values()))
    blank = replace(reference, array=np.zeros(reference.shape, np.float32))
    by_channel = {**here}
    if "DE" in here:
        by_channel.setdefault("LGE", here["DE"])
    missing = [channel for channel in STACKED if channel not in by_channel]
    if missing:
        warn(f"{reference.path}: no {' and no '.join(missing)} beside it, zeros take the place")
    return [by_channel.get(channel, blank) for channel in STACKED]
