"""One case on its way: read and preprocessed, then answered by the network, then written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.inference import sequence_fusion as fusion
from nnunet_prompt.inference.by_name import add_named
from nnunet_prompt.inference.case_runner import StagedPredictor, report
from nnunet_prompt.inference.disagreement import write_uncertainty
from nnunet_prompt.inference.level_files import LevelFiles
from nnunet_prompt.inference.merge import LabelMap
from nnunet_prompt.inference.probabilities import (
    CaseLogits,
    Maps,
    map_folder,
    structure_keys,
    write_probabilities,
)
from nnunet_prompt.inference.refined import corrected, read_automatic, with_masks
from nnunet_prompt.io.image_cases import ImageCase
from nnunet_prompt.io.image_files import write_label_file
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.io.threads import checkpoint
from nnunet_prompt.prompt_files.prompt_file import PromptFile
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.types import CasePrompts


@dataclass(frozen=True, slots=True)
class Asked:
    """The request for every case: its prompts, or without a file the structures of these names, or all of them.

    With `refine`, a folder of automatic masks named like those that are written, prompts correct these masks.
    With `probabilities`, those of each structure or prompted label are written beside the masks, with `uncertainty`
    where the answer changes as one case of the support set is left out.
    """

    prompts: PromptFile | None = None
    structures: tuple[str, ...] = ()
    refine: Path | None = None
    probabilities: bool = False
    uncertainty: bool = False

    @property
    def named(self) -> Collection[str]:
        """The cases that the prompts name."""
        return () if self.prompts is None else self.prompts.named

    def with_images(self, cases: Sequence[ImageCase], table: StructureTable) -> Asked:
        """The prompts assigned to their images; reports how a prompts.json is read. Raises `PromptFileError`."""
        if self.prompts is None:
            return self
        images = {case.case: case.first for case in cases}
        prompts = self.prompts.for_images(images, table=table)
        if prompts.reading is not None:
            report(prompts.reading)
        return replace(self, prompts=prompts)

    def of(self, case: str) -> Asked:
        """The request for one case, without the prompts of the others, where the file names it."""
        return self if self.prompts is None else replace(self, prompts=self.prompts.only(case))


@dataclass(frozen=True, slots=True)
class CaseToDo:
    """The images of a case and where its mask belongs."""

    images: ImageCase
    target: Path


@dataclass(frozen=True, slots=True, eq=False)
class LoadedCase:
    """A preprocessed case with its prompts; `reference` is its first image without voxels, `notes` are for users.

    `automatic` is the mask that prompts correct, on the grid of `reference`; `whole` the case as the structure heads
    take it, where the prompts name some.
    """

    case: CaseToDo
    reference: NiftiVolume
    placed: Any
    prompts: CasePrompts | None
    notes: tuple[str, ...]
    automatic: LabelMap | None = None
    whole: Any = None


@dataclass(frozen=True, slots=True)
class Tally:
    """The tiles that were run for each label of a case, and how many of them were added where a mask touched
    the border of what had been run."""

    tiles: Mapping[int, int]
    grown: Mapping[int, int]

    def __str__(self) -> str:
        """One line: "label 500: 3 tiles (1 of them added); label 200: 2 tiles"."""
        parts = [
            f"label {label}: {_count(tiles, 'tile')}{_grown(self.grown.get(label, 0))}"
            for label, tiles in self.tiles.items()
        ]
        return "; ".join(parts) or "no label is prompted, so no tile was run"


@dataclass(frozen=True, slots=True, eq=False)
class MaskedCase:
    """A label map on the grid of `reference`, and the tiles that it took where it was prompted."""

    case: CaseToDo
    reference: NiftiVolume
    labels: LabelMap
    tally: Tally | None
    maps: Maps | None = None  # where probabilities are asked for
    uncertainty: Any = None  # round(255 share) on the grid of the labels, where it is asked for


def load_case(predictor: StagedPredictor, case: CaseToDo, asked: Asked) -> LoadedCase:
    """Reads the images and prompts of a case and preprocesses it. Raises `NNUNetPromptError` for what does not fit.

    It may run in one thread while `predict_case` runs in another one.
    """
    notes: list[str] = []
    files = files_of_model(predictor, case.images)
    volumes = fusion.read_case(files, warn=notes.append, read=predictor.reader.read)
    notes += [line for volume in volumes.values() for line in volume.remarks()]
    first = next(iter(volumes.values()))
    reference = first.without_voxels()
    prompts, automatic = None, None
    if asked.refine is not None:
        automatic = read_automatic(asked.refine / case.target.name, reference)
    if asked.prompts is not None:
        if automatic is not None and asked.prompts.without_prompts([case.images.case]):
            prompts = CasePrompts()  # nothing to correct
        else:
            prompts = asked.prompts.prompts(case.images.case, first, warn=notes.append)
    if automatic is not None and prompts is not None:
        prompts = with_masks(_without_names(prompts, notes), automatic, first)
    notes += [] if prompts is None else _unsaid(prompts, asked)
    checkpoint()
    named = prompts is not None and bool(prompts.named)
    try:
        whole = predictor.place(list(volumes.values()), whole=True) if named else None
        placed = whole
        if prompts is None or prompts.says_where:
            placed = predictor.place(list(volumes.values()), whole=prompts is None)
    except ImageError as error:  # a header may be the reason
        raise ImageError("; ".join((str(error), *notes))) from error
    return LoadedCase(case, reference, placed, prompts, tuple(notes), automatic, whole)


def predict_case(predictor: StagedPredictor, loaded: LoadedCase, asked: Asked) -> MaskedCase:
    """Asks the network. Raises `NNUNetPromptError` for prompts outside the image."""
    if asked.uncertainty:
        masked = _predicted(predictor, loaded, asked)
        unsure = predictor.disagreement(loaded.placed, masked.labels, asked.structures)
        return replace(masked, uncertainty=unsure)
    return _predicted(predictor, loaded, asked)


def _predicted(predictor: StagedPredictor, loaded: LoadedCase, asked: Asked) -> MaskedCase:
    tally = None
    if asked.probabilities and loaded.prompts is None:
        return _structures_with_maps(predictor, loaded, asked)
    if asked.probabilities and loaded.prompts is not None:
        return _prompted_with_logits(predictor, loaded, loaded.prompts, asked)
    if loaded.prompts is None:
        labels = predictor.answer_structures(loaded.placed, asked.structures)
    else:
        answer = predictor.answer(loaded.placed, loaded.prompts)
        labels = answer.labels
        if loaded.prompts.says_where:
            tally = Tally(dict(answer.tiles), dict(answer.grown))
        if loaded.automatic is not None:
            labels = corrected(loaded.automatic, labels, list(loaded.prompts.labels))
        labels = _with_named(predictor, loaded, loaded.prompts, labels)
    return MaskedCase(loaded.case, loaded.reference, labels, tally)


def _with_named(
    predictor: StagedPredictor, loaded: LoadedCase, prompts: CasePrompts, labels: LabelMap
) -> LabelMap:
    """The label map, and what the prompts name."""
    to_pls = pls_map(loaded.reference.affine, loaded.reference.shape)
    ask = partial(predictor.answer_structures, loaded.whole)
    return add_named(labels, prompts, predictor.table, ask, to_pls)


def _without_names(prompts: CasePrompts, notes: list[str]) -> CasePrompts:
    """Words do not state what is wrong with a mask."""
    notes += [
        f"label {label}: its text corrects nothing, so that the automatic mask of {name!r} stays as it is"
        for label, name in prompts.named.items()
    ]
    return replace(prompts, named={})


def _structures_with_maps(
    predictor: StagedPredictor, loaded: LoadedCase, asked: Asked
) -> MaskedCase:
    """As `predict_case` without prompts; the maps grow on disk, where they will lie in the end."""
    keys = structure_keys(predictor.table, asked.structures)
    shape = loaded.placed.file_shape
    maps = LevelFiles(map_folder(loaded.case.target), keys, shape)
    try:
        labels = predictor.answer_structures(loaded.placed, asked.structures, maps)
    except BaseException:
        maps.close()
        raise
    return MaskedCase(loaded.case, loaded.reference, labels, None, maps)


def _prompted_with_logits(
    predictor: StagedPredictor, loaded: LoadedCase, prompts: CasePrompts, asked: Asked
) -> MaskedCase:
    """As `predict_case` with prompts, and keeps the logits on the network's grid."""
    resampler = predictor.model.configuration.resampling_fn_probabilities
    placed = loaded.placed
    found = predictor.find(placed, prompts)
    labels = predictor.merge(placed, prompts, found)
    if loaded.automatic is not None:
        labels = corrected(loaded.automatic, labels, list(prompts.labels))
    labels = _with_named(predictor, loaded, prompts, labels)
    case = loaded.case.images.case
    named = () if asked.prompts is None else asked.prompts.labels(case, texts=False)
    answers = {
        str(k): [found[k]] if k in found else [] for k in dict.fromkeys((*prompts.labels, *named))
    }
    tally = Tally({k: f.tiles for k, f in found.items()}, {k: f.grown for k, f in found.items()})
    logits = CaseLogits(placed, answers, resampler)
    return MaskedCase(loaded.case, loaded.reference, labels, tally, logits)


def write_mask(masked: MaskedCase, path: Path | None = None) -> Tally | None:
    """Writes the mask to `path`, or where it belongs; what is under its name is always complete.

    Probabilities come first, where they belong, so that a case with a mask has them.
    """
    target = masked.case.target
    if masked.maps is not None:
        try:
            write_probabilities(masked.maps, target, masked.reference)
        finally:
            masked.maps.close()
    if masked.uncertainty is not None:
        write_uncertainty(masked.uncertainty, target, masked.reference)
    write_label_file(path or target, masked.labels, masked.reference, name=target.name)
    return masked.tally


def _unsaid(prompts: CasePrompts, asked: Asked) -> list[str]:
    """A line for each label of which the prompts do not state where it is, and for those without probabilities."""
    without_map = prompts.named if asked.probabilities else ()
    return [
        f"label {label}: its text names it, so that no probabilities are written for it"
        for label in without_map
    ] + [
        f"label {label}: only negative prompts, so that its mask is empty; give at least one that is positive"
        for label, said in prompts.labels.items()
        if not said.says_where
    ]


def files_of_model(predictor: StagedPredictor, case: ImageCase) -> dict[str, Path]:
    """The files of a case by tag; one file may hold several channels, such as the colours of a PNG.

    Raises `ImageError` if they do not fit the model.
    """
    several = predictor.n_image_channels > 1 and predictor.reader.channels(case.first) > 1
    return case.files_of_channels() if several else case.pick(predictor.n_image_channels)


def in_short(cases: Sequence[Tally]) -> str:
    """One line about all cases: "ran 12 tiles for 5 labels in 2 cases (3 of them added where a mask ...)"."""
    tiles, labels = (
        sum(sum(c.tiles.values()) for c in cases),
        sum(len(c.tiles) for c in cases),
    )
    grown = sum(sum(c.grown.values()) for c in cases)
    said = (
        f"ran {_count(tiles, 'tile')} for {_count(labels, 'label')} in {_count(len(cases), 'case')}"
    )
    return f"{said}{_grown(grown, ' where a mask touches the border of the first ones')}"


def _grown(number: int, where: str = "") -> str:
    return f" ({number} of them added{where})" if number else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
