"""A closed loop over a folder of cases: resumed where it was stopped, one case's failure costs no other."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from tqdm import tqdm

from nnunet_prompt.batch.cases import all_failures, make_folder, reason_of, tell, warn
from nnunet_prompt.batch.inputs import input_files
from nnunet_prompt.challenge.images import group_channels, without_ending
from nnunet_prompt.challenge.simulate import label_files
from nnunet_prompt.data.geometry import geometry_difference, same_geometry
from nnunet_prompt.data.guard import check_output_folder, model_folders
from nnunet_prompt.data.image_files import read_label_file
from nnunet_prompt.data.names import composed
from nnunet_prompt.data.nifti import NiftiVolume, replacing
from nnunet_prompt.errors import ImageError, PromptError
from nnunet_prompt.interact.play import LabelCase, Play, Row, play_label
from nnunet_prompt.interact.summary import draw_curves, summarise

if TYPE_CHECKING:
    from nnunet_prompt.inference.options import PredictOptions
    from nnunet_prompt.inference.session import PromptSession

CASES, SUMMARY, TABLE, CURVES = "cases", "interactions.json", "interactions.csv", "curves.png"
Start = Literal["nothing", "automatic"]


@dataclass(frozen=True, slots=True)
class Case:
    """One case: its name, its label map and the files of its image channels."""

    name: str
    label: Path
    images: tuple[Path, ...]


def interact_folder(
    labels: Path,
    images: Path,
    output: Path,
    *,
    model: Path,
    play: Play,
    options: PredictOptions,
    start: Start = "nothing",
    values: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Plays every label of every case of a folder of label maps, and writes rows, summary and curves into `output`.

    `start` "automatic" begins with the mask that the model gives without prompts. A case whose rows are there, played
    the same way, is kept. Returns the summary. Raises `PromptError` for folders that do not fit, before anything is
    run, and after the last case if a case failed; the summary is then of the others.
    """
    from nnunet_prompt.inference.session import PromptSession

    check_output_folder(output, [labels, images, *model_folders(model)])
    session = PromptSession(model, options)
    cases = _cases(labels, images, session)
    make_folder(output / CASES)
    how = {**asdict(play), "start": start, "model": str(model.resolve()), "values": values}
    rows: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    for case in tqdm(cases, desc="interact", unit="case", disable=None):
        path = output / CASES / f"{case.name}.json"
        kept = _kept(path, how)
        if kept is None:
            try:
                kept = [row.as_dict() for row in _play_case(session, case, play, start, values)]
            except Exception as error:
                failed[case.name] = reason_of(error)
                tell(f"error: case {case.name}: {failed[case.name]}")
                continue
            _write_json(path, {"how": how, "rows": kept})
        rows += kept
    names = {s.official: s.name for s in session.predictor.table.structures}
    summary = {"how": how, "failed": failed, **summarise(rows)}
    _write(output, rows, summary, names)
    if failed:
        raise all_failures(failed, len(cases))
    return summary


def _cases(labels: Path, images: Path, session: PromptSession) -> list[Case]:
    """The label maps of a folder with their images, of the formats that `predict` takes.

    Raises `PromptError` where an image is missing.
    """
    channels = session.predictor.n_image_channels
    maps = {composed(without_ending(path.name)): path for path in label_files(labels)}
    files = input_files(images, session.predictor.reader)
    found = group_channels(files, keys=maps, n_channels=channels)
    by_name = {composed(case.case): tuple(case.pick(channels).values()) for case in found}
    lost = sorted(maps.keys() - by_name.keys())
    if lost:
        raise PromptError(
            f"{images}: no image for {len(lost)} of the {len(maps)} label maps in {labels}, the first is {lost[0]};"
            f" expected {lost[0]}_0000.nii.gz or {lost[0]}.nii.gz"
        )
    return [Case(name, path, by_name[name]) for name, path in sorted(maps.items())]


def _play_case(
    session: PromptSession, case: Case, play: Play, start: Start, values: Sequence[int] | None
) -> Iterator[Row]:
    volumes = [v for path in case.images for v in session.predictor.reader.read(path)]
    reference = read_label_file(case.label)
    for note in reference.notes:
        warn(f"{case.label}: {note}")
    if not same_geometry(reference, volumes[0]):
        raise ImageError(
            f"{case.label}: lies on another grid than {case.images[0]}:"
            f" {geometry_difference(reference, volumes[0])}; resample the label map to the image"
        )
    session.set_image(volumes)
    automatic = _automatic(session, volumes) if start == "automatic" else None
    present = [int(v) for v in np.unique(reference.array) if v > 0]
    for value in present if values is None else [v for v in values if v in present]:
        first = None if automatic is None else automatic == value
        one = LabelCase(case.name, value, reference.array == value, first, reference.spacing_mm)
        yield from play_label(session, one, play)


def _automatic(session: PromptSession, volumes: Sequence[NiftiVolume]) -> Any:
    predict: Callable[..., Any] = session.predictor.predict_structures
    return predict(volumes)


def _kept(path: Path, how: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The rows of an earlier run that was played the same way."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows: list[dict[str, Any]] = content["rows"]
        return rows if content["how"] == json.loads(json.dumps(how)) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(
    output: Path, rows: Sequence[dict[str, Any]], summary: dict[str, Any], names: dict[int, str]
) -> None:
    _write_json(output / SUMMARY, summary)
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


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
