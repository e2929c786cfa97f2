"""A closed loop over a folder of cases: resumed where it was stopped, one case's failure costs no other."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from nnunet_prompt.common.arguments import as_path, check_type, items, one_of, whole_number
from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.common.log import progress
from nnunet_prompt.evaluation.interact.play import LabelCase, Play, Row, play_label
from nnunet_prompt.evaluation.interact.summary import draw_curves, summarise
from nnunet_prompt.evaluation.pairs import files_by_case
from nnunet_prompt.inference.case_runner import all_failures, reason_of
from nnunet_prompt.inference.given import as_options, as_volumes
from nnunet_prompt.inference.inputs import check_there, input_files
from nnunet_prompt.inference.predict_case import files_of_model
from nnunet_prompt.inference.with_adapter import adapter_path
from nnunet_prompt.io.atomic import make_folder, replacing
from nnunet_prompt.io.geometry import geometry_difference, same_geometry
from nnunet_prompt.io.guard import check_output_folder, model_folders
from nnunet_prompt.io.image_cases import ImageCase, group_channels
from nnunet_prompt.io.image_files import read_label_file
from nnunet_prompt.io.json_file import read_object, write_json
from nnunet_prompt.io.names import composed
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.networks.safetensors_file import ENDING

if TYPE_CHECKING:
    from nnunet_prompt.inference.options import PredictOptions
    from nnunet_prompt.inference.session import PromptSession

_log = logging.getLogger(__name__)

CASES, SUMMARY, TABLE, CURVES = "cases", "interactions.json", "interactions.csv", "curves.png"
Start = Literal["nothing", "automatic"]


@dataclass(frozen=True, slots=True)
class Case:
    """One case: its name, its label map and its image files."""

    name: str
    label: Path
    images: ImageCase

    @property
    def files(self) -> tuple[Path, ...]:
        """All that is read of the case."""
        return (self.label, *self.images.ordered)


def interact_folder(
    labels: Path | str,
    images: Path | str,
    output: Path | str,
    *,
    model: Path | str,
    play: Play,
    options: PredictOptions,
    start: Start = "nothing",
    values: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Plays every label of every case of a folder of label maps, and writes rows, summary and curves into `output`.

    `start` "automatic" begins with the mask that the model gives without prompts. A case whose rows are there, played
    the same way on the same files, is kept. Returns the summary. Raises `NNUNetPromptError` for folders that do not
    fit, before anything is run, if no label of any case is one of `values`, and after the last case if a case failed;
    the summary is then of the others.
    """
    from nnunet_prompt.inference.session import PromptSession

    labels, images = as_path("labels", labels), as_path("images", images)
    output, model = as_path("output", output), as_path("model", model)
    options, values = as_options(options), _as_values(values)
    one_of("start", start, get_args(Start))
    check_type("play", play, Play, "Play('clicks')")
    check_there(images)
    check_output_folder(output, [labels, images, *model_folders(model)])
    session = PromptSession(model, options)
    cases = _cases(labels, images, session.predictor)
    make_folder(output / CASES)
    how = {**asdict(play), "start": start, "values": values, **_of_model(model, options)}
    rows: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    for case in progress(cases, "interact"):
        path = output / CASES / f"{case.name}.json"
        here = {**how, "files": _stamps(case.files)}
        kept = _kept(path, here)
        if kept is None:
            try:
                kept = [row.as_dict() for row in _play_case(session, case, play, start, values)]
            except Exception as error:
                failed[case.name] = reason_of(error)
                _log.error("case %s: %s", case.name, failed[case.name])
                continue
            write_json(path, {"how": here, "rows": kept}, indent=1, allow_nan=False)
        rows += kept
    _check_played(labels, rows, values, failed)
    names = {s.official: s.name for s in session.predictor.table.structures}
    summary = {"how": how, "failed": failed, **summarise(rows)}
    _write(output, rows, summary, names)
    if failed:
        raise all_failures(failed, len(cases))
    return summary


def _as_values(values: Any) -> list[int] | None:
    """Label values, each once; one alone may stand without a list. Raises `NNUNetPromptError`."""
    if values is None:
        return None
    parts = items(values)
    numbers = [
        whole_number("values", v, lowest=1, example=500)
        for v in ([values] if parts is None else parts)
    ]
    return list(dict.fromkeys(numbers))


def _of_model(model: Path, options: PredictOptions) -> dict[str, Any]:
    """Identifies the model and its options: with another checkpoint or another option, cases are played anew."""
    answers = ("folds", "checkpoint", "use_mirroring", "step_size", "window", "grow", "bfloat16")
    decoding = ("consistent", "one_component")
    names = (options.checkpoint, Path(options.checkpoint).with_suffix(ENDING).name)
    weights = sorted({path for name in names for path in model.glob(f"fold_*/{name}")})
    adapter = [] if options.adapter is None else [adapter_path(options.adapter)]
    return {
        "model": str(model.resolve()),
        "weights": _stamps([*weights, *adapter]),
        **{name: getattr(options, name) for name in (*answers, *decoding)},
    }


def _stamps(paths: Sequence[Path]) -> list[list[Any]]:
    """Name, bytes and time of last change of files."""
    stats = [path.stat() for path in paths]
    return [
        [path.name, stat.st_size, stat.st_mtime_ns] for path, stat in zip(paths, stats, strict=True)
    ]


def _check_played(
    labels: Path,
    rows: Sequence[dict[str, Any]],
    values: Sequence[int] | None,
    failed: dict[str, str],
) -> None:
    """Raises `NNUNetPromptError` if nothing was played though no case failed; values that no label map has are
    reported.
    """
    played = {row["label"] for row in rows}
    if not rows and not failed:
        wanted = "a label" if values is None else f"one of the values {', '.join(map(str, values))}"
        raise NNUNetPromptError(
            f"{labels}: expected label maps with {wanted}, found none in any of them"
        )
    absent = sorted(set(values or ()) - played)
    if absent and not failed:
        _log.warning(f"{labels}: no label map has {', '.join(map(str, absent))}")


def _cases(labels: Path, images: Path, predictor: Any) -> list[Case]:
    """The label maps of a folder with their images. Raises `NNUNetPromptError` where an image is missing."""
    maps = files_by_case(labels)
    if not maps:
        raise NNUNetPromptError(
            f"{labels}: no label map in it, expected for example case_001.nii.gz"
        )
    channels = predictor.n_image_channels
    found = group_channels(input_files(images, predictor.reader), keys=maps, n_channels=channels)
    by_name = {composed(case.case): case for case in found}
    lost = sorted(maps.keys() - by_name.keys())
    if lost:
        raise NNUNetPromptError(
            f"{images}: no image for {len(lost)} of the {len(maps)} label maps in {labels}, the first is {lost[0]};"
            f" expected {lost[0]}_0000.nii.gz or {lost[0]}.nii.gz"
        )
    for name, several in maps.items():
        if len(several) > 1:
            both = " and ".join(path.name for path in several)
            raise NNUNetPromptError(
                f"{labels}: {both} are both the label map of case {name}: keep one"
            )
    return [Case(name, path, by_name[name]) for name, (path,) in sorted(maps.items())]


def _play_case(
    session: PromptSession, case: Case, play: Play, start: Start, values: Sequence[int] | None
) -> Iterator[Row]:
    files = list(files_of_model(session.predictor, case.images).values())
    volumes = as_volumes(files, session.predictor.reader)
    reference = read_label_file(case.label)
    for note in reference.notes:
        _log.warning("%s: %s", case.label, note)
    if not same_geometry(reference, volumes[0]):
        raise ImageError(
            f"{case.label}: has another geometry than {files[0]}:"
            f" {geometry_difference(reference, volumes[0])}; resample the label map to the image"
        )
    session.set_image(volumes)
    present = [int(v) for v in np.unique(reference.array) if v > 0]
    automatic = _automatic(session, case, volumes, present) if start == "automatic" else None
    for value in present if values is None else [v for v in values if v in present]:
        first = None if automatic is None else automatic == value
        one = LabelCase(case.name, value, reference.array == value, first, reference.spacing_mm)
        yield from play_label(session, one, play)


def _automatic(
    session: PromptSession, case: Case, volumes: Sequence[NiftiVolume], present: Sequence[int]
) -> Any:
    """The mask without prompts. Raises `NNUNetPromptError` where its values are none of those of the label map."""
    known = {s.official: s.name for s in session.predictor.table.structures}
    if present and not known.keys() & set(present):
        official = ", ".join(f"{value} ({name})" for value, name in sorted(known.items()))
        raise NNUNetPromptError(
            f"{case.label}: an automatic mask has the values {official}, found {', '.join(map(str, present))}: give"
            " label maps with these values, or --start nothing"
        )
    predict: Callable[..., Any] = session.predictor.predict_structures
    return predict(volumes)


def _kept(path: Path, how: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The rows of an earlier run that was played the same way."""
    try:
        content = read_object(path, NNUNetPromptError)
        rows: list[dict[str, Any]] = content["rows"]
        return rows if content["how"] == json.loads(json.dumps(how)) else None
    except (NNUNetPromptError, KeyError):
        return None


def _write(
    output: Path, rows: Sequence[dict[str, Any]], summary: dict[str, Any], names: dict[int, str]
) -> None:
    write_json(output / SUMMARY, summary, indent=1, allow_nan=False)
    with (
        replacing(output / TABLE) as partial,
        # a name that is not in UTF-8 is written with escapes
        partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.DictWriter(file, Row.__slots__)
        writer.writeheader()
        writer.writerows(rows)
    if rows:
        draw_curves(summary, names, output / CURVES)
