"""Evaluates the folder of each team once, and keeps what it found beside the leaderboard.

A case without a prediction is scored as an empty mask, and so is one whose prediction cannot be scored (unreadable, on
another grid): neither may lift a team. A case whose reference cannot be read is left out for all teams. A folder that
cannot be evaluated at all costs its own team.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from nnunet_prompt import __version__
from nnunet_prompt.common.errors import NNUNetPromptError, OutputError
from nnunet_prompt.common.plugins import plugins
from nnunet_prompt.evaluation.evaluate import evaluate
from nnunet_prompt.evaluation.folders import evaluate_folders
from nnunet_prompt.evaluation.names import NamesLike
from nnunet_prompt.evaluation.options import FolderOptions
from nnunet_prompt.evaluation.pairs import files_by_case, listed
from nnunet_prompt.evaluation.results import METRICS, CaseScores, Evaluation
from nnunet_prompt.io.atomic import make_folder
from nnunet_prompt.io.image_files import read_label_file
from nnunet_prompt.io.json_file import read_object, write_json

_LOG = logging.getLogger(__name__)
KEPT = "teams"  # the folder of evaluations below the output


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """How masks are evaluated.

    values: label values to score; all that occur if left out.
    names: of label values, as `evaluate_folders` takes them.
    num_processes: how many cases are scored at once.
    """

    values: tuple[int, ...] | None = None
    names: NamesLike = None
    num_processes: int = 1


def evaluate_teams(
    labels: Path, folders: Mapping[str, Path], output: Path | None, options: EvaluationOptions
) -> tuple[dict[str, Evaluation], dict[str, str]]:
    """The evaluation of each team, and why there is none for the others.

    What is in `output` from an earlier run is used where no file has changed since. Raises `NNUNetPromptError` if no
    team is left.
    """
    found: dict[str, Evaluation] = {}
    failed: dict[str, str] = {}
    for number, (team, folder) in enumerate(folders.items(), 1):
        try:
            found[team] = _evaluated(labels, team, folder, output, options)
        except OutputError:
            raise
        except NNUNetPromptError as error:
            failed[team] = " ".join(str(error).split())
            _LOG.warning("%s: not ranked: %s", team, failed[team])
        else:
            _LOG.info("%s: evaluated, team %d of %d", team, number, len(folders))
    if not found:
        first, why = next(iter(failed.items()))
        more = f" ({len(failed)} teams, none of which can be evaluated)" if len(failed) > 1 else ""
        raise NNUNetPromptError(f"team {first}: {why}{more}")
    return found, failed


def _evaluated(
    labels: Path, team: str, folder: Path, output: Path | None, options: EvaluationOptions
) -> Evaluation:
    kept = None if output is None else output / KEPT / f"{_file_name(team)}.json"
    state = _fingerprint(labels, folder, options)
    before = None if kept is None else _kept(kept, state)
    if before is not None:
        _LOG.info("%s: no file has changed: its evaluation is taken from %s", team, kept)
        _report(team, before)
        return before
    given = FolderOptions(options.values, options.names, "empty", "skip", options.num_processes)
    results = evaluate_folders(labels, folder, folder_options=given)
    results["cases"] |= _failed_as_empty(labels, list(results.get("failed", {})), options)
    if kept is not None:
        make_folder(kept.parent)
        write_json(kept, {"state": state, "evaluation": results}, allow_nan=False)
    _report(team, results)
    return results


def _report(team: str, results: Evaluation) -> None:
    for key, what in (("missing", "no prediction"), ("failed", "no prediction that can be scored")):
        cases = [
            case
            for case in cast("dict[str, Any]", results).get(key, ())
            if case in results["cases"]
        ]
        if cases:
            _LOG.warning(
                "%s: %s for %s: scored as empty",
                team,
                what,
                f"{len(cases)} cases ({listed(cases)})",
            )


def _failed_as_empty(
    labels: Path, cases: Sequence[str], options: EvaluationOptions
) -> dict[str, CaseScores]:
    """The scores of an empty mask for each case whose reference can be read."""
    found: dict[str, CaseScores] = {}
    references = files_by_case(labels) if cases else {}
    for case in cases:
        if len(references.get(case, ())) != 1:
            continue
        try:
            reference = read_label_file(references[case][0])
            empty = np.zeros(reference.array.shape, np.uint8)
            scored = evaluate(reference, empty, labels=options.values, names=options.names)
        except NNUNetPromptError:  # of the reference, and reported already
            continue
        found[case] = next(iter(scored["cases"].values()))
    return found


def _kept(path: Path, state: str) -> Evaluation | None:
    if not path.is_file():
        return None
    try:
        content = read_object(path, NNUNetPromptError)
    except NNUNetPromptError:  # half-written by another program: evaluated again
        return None
    found = content.get("evaluation")
    whole = isinstance(found, dict) and {"cases", "structures", "counts"} <= found.keys()
    return cast(Evaluation, found) if whole and content.get("state") == state else None


def _fingerprint(labels: Path, folder: Path, options: EvaluationOptions) -> str:
    """Changes with every file of both folders, and with what is computed from them."""
    described = labels.absolute().parent / "dataset.json"
    named = [options.names] if isinstance(options.names, (str, Path)) else []
    texts = [
        __version__,
        *METRICS,
        *(plugin.name for plugin in plugins("metrics")),
        repr(options.values),
        repr(options.names),
        *(_of_file(Path(path)) for path in (*named, described, labels / "dataset.json")),
        *(_of_file(p) for f in (labels, folder) for ps in files_by_case(f).values() for p in ps),
    ]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _of_file(path: Path) -> str:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return f"{path} -"
    return f"{path.absolute()} {found.st_size} {found.st_mtime_ns}"


def _file_name(team: str) -> str:
    """The name of a team as a file can have it; a check sum keeps apart what becomes the same."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", team)[:60]
    return plain if plain == team else f"{plain}-{zlib.crc32(team.encode()):08x}"
