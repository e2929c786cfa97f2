"""The report of a run, a JSON file that grows case by case, so that a run which is killed leaves one, too.

    {"output": "...", "notes": ["..."], "cases": {"Case7": {"status": "degraded", "seconds": 3.1, "tiles": 4,
     "troubles": [{"stage": "image", "reason": "..."}], "notes": []}}}

A status is "done", "degraded", "kept" (there before, and no report states how it was made) or "missing" (no mask).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from nnunet_prompt.challenge.case_run import Trouble
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.io.atomic import partials_of
from nnunet_prompt.io.json_file import write_json
from nnunet_prompt.prompt_files.prompts_json import load_json

Status = Literal["done", "degraded", "kept", "missing"]


@dataclass(frozen=True, slots=True)
class Entry:
    """The outcome of one case."""

    status: Status
    seconds: float = 0.0
    tiles: int = 0
    troubles: tuple[Trouble, ...] = ()
    notes: tuple[str, ...] = ()


def entry_of(
    troubles: Sequence[Trouble], *, seconds: float = 0.0, tiles: int = 0, notes: Sequence[str] = ()
) -> Entry:
    """The entry of a case that was worked on."""
    status: Status = "degraded" if troubles else "done"
    if not all(t.has_mask for t in troubles):
        status = "missing"
    return Entry(status, round(seconds, 3), tiles, tuple(troubles), tuple(notes))


class Report:
    """The outcomes of the cases of a run, kept in a file if it has a `path`.

    What the file reports of cases of the same output folder from an earlier run is in `earlier`.
    """

    def __init__(self, path: Path | None, output_folder: Path, notes: Sequence[str] = ()) -> None:
        """Reads and rewrites the file.

        Raises `NNUNetPromptError` if it cannot be written, or is anything but a report.
        """
        self.path = path
        self.output = str(output_folder.resolve())
        self.notes = list(notes)
        self.entries: dict[str, Entry] = {}
        self.earlier = {} if path is None else _earlier(path, self.output)
        if path is not None:  # what a killed run left half-written
            for leftover in partials_of(path):
                leftover.unlink(missing_ok=True)
        self._save(self.earlier)

    def add(self, entries: Mapping[str, Entry]) -> None:
        """Takes in cases and rewrites the file. Raises `NNUNetPromptError` if that fails."""
        self.entries.update(entries)
        if self.path is not None:  # else a file of many cases would be copied for each of them
            self._save({**self.earlier, **self.entries})

    def forget(self, cases: Collection[str]) -> None:
        """Leaves out earlier cases other than these, which are all that there are."""
        self.earlier = {case: entry for case, entry in self.earlier.items() if case in cases}

    def _save(self, entries: dict[str, Entry]) -> None:
        if self.path is None:
            return
        content = {
            "output": self.output,
            "notes": self.notes,
            "cases": {case: _to_json(entry) for case, entry in sorted(entries.items())},
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, content, indent=1)
        except OSError as error:
            raise NNUNetPromptError(
                f"{self.path}: the report cannot be written: {error.strerror}"
            ) from error


def check_report_path(path: Path, *, input_folder: Path, output_folder: Path) -> None:
    """Raises `NNUNetPromptError` for a report in the output, where an evaluator might stumble over it, or in the
    input.
    """
    for folder, why in (
        (output_folder, "holds masks and nothing else"),
        (input_folder, "is never written to"),
    ):
        if path.resolve().is_relative_to(folder.resolve()):
            raise NNUNetPromptError(
                f"{path}: the report must lie outside {folder}, which {why}: name another place"
            )


def _to_json(entry: Entry) -> dict[str, Any]:
    troubles = [{"stage": t.stage, "reason": t.reason} for t in entry.troubles]
    return {**asdict(entry), "troubles": troubles, "notes": list(entry.notes)}


def _earlier(path: Path, output: str) -> dict[str, Entry]:
    if not path.exists():
        return {}
    try:
        content = load_json(path)
        cases = {case: _from_json(case, value) for case, value in content["cases"].items()}
        return cases if content["output"] == output else {}
    except (NNUNetPromptError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise NNUNetPromptError(
            f"{path}: already exists and is not the report of a run: name another file"
        ) from error


def _from_json(case: str, value: Any) -> Entry:
    status = value["status"]
    if status not in ("done", "degraded", "kept", "missing"):
        raise ValueError(status)
    troubles = tuple(
        Trouble(case, t["stage"], str(t["reason"]), status != "missing") for t in value["troubles"]
    )
    notes = tuple(str(note) for note in value["notes"])
    return Entry(status, float(value["seconds"]), int(value["tiles"]), troubles, notes)
