"""The scores of finished cases, kept beside the output until it is written, so that a stopped run is resumed.

One line per case in `.metrics.json.cases`: a stamp and the outcome. The stamp is of all that a score depends on: the
package's version, the options, and the path, size and time of each file; a case whose stamp differs is scored again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from nnunet_prompt import __version__
from nnunet_prompt.common.plugins import plugins
from nnunet_prompt.evaluation.case import Job, Outcome
from nnunet_prompt.evaluation.metrics import Scores
from nnunet_prompt.evaluation.options import Key


class Finished:
    """The finished cases of an earlier run; without an output there is nothing to keep them beside."""

    def __init__(self, output: Path | None) -> None:
        self._path = None if output is None else output.with_name(f".{output.name}.cases")
        self._known: dict[str, Outcome] = {}
        if self._path is not None and self._path.is_file():
            self._known = dict(_lines(self._path))

    def outcome(self, job: Job) -> Outcome | None:
        """The outcome of a case that was scored the same way on the same files."""
        return self._known.get(stamp_of(job)) if self._known else None

    def keep(self, job: Job, outcome: Outcome) -> None:
        """Adds a case; one that failed, or where a plug-in failed, is tried again. A full disc shows at the end."""
        if self._path is None or outcome.failure is not None or outcome.broken:
            return
        line = json.dumps([stamp_of(job), _as_json(outcome)])
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def forget(self) -> None:
        """Removes the file: the output is written, or nothing will come of it."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def stamp_of(job: Job) -> str:
    """A hash of all that the scores of a case depend on."""
    files = [(str(p.absolute()), *_state(p)) for p in (*job.labels, *job.predictions)]
    measures = {k: str(v) for k, v in asdict(job.measures).items() if k != "names"}
    added = [(m.name, m.title) for m in plugins("metrics")]
    told = [__version__, job.case, files, job.label_values, job.ignore, measures, added]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _state(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _lines(path: Path) -> list[tuple[str, Outcome]]:
    """What can be read; a line that a killed run left half-written is skipped."""
    found = []
    with suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                stamp, content = json.loads(line)
                found.append((str(stamp), _outcome(content)))
            except (ValueError, TypeError, KeyError, AttributeError):
                continue
    return found


def _as_json(outcome: Outcome) -> dict[str, Any]:
    scores = {
        str(key): {m: None if math.isnan(v) else v for m, v in asdict(row).items()}
        for key, row in outcome.scores.items()
    }
    added = {str(key): row for key, row in outcome.added.items()}
    return {"scores": scores, "added": added, "notes": list(outcome.notes)}


def _outcome(content: Mapping[str, Any]) -> Outcome:
    names = [field.name for field in fields(Scores)]
    scores = {
        _key(key): Scores(*(math.nan if row[name] is None else float(row[name]) for name in names))
        for key, row in content["scores"].items()
    }
    added = {_key(key): dict(row) for key, row in content["added"].items()}
    return Outcome(scores, notes=tuple(map(str, content["notes"])), added=added)


def _key(text: str) -> Key:
    return int(text) if text.isdecimal() else text
