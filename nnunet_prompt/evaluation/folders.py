"""Scores a folder of predictions against a folder of label files, and writes metrics.json.

`pairs` defines which files belong together and what is refused, `names` where names come from, `results` the form of
the answer, and `metrics` the metrics and the empty cases.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from nnunet_prompt.common.arguments import as_path, whole_number
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.common.log import progress
from nnunet_prompt.evaluation.case import Job, Outcome, job_died, run_job
from nnunet_prompt.evaluation.checks import (
    as_evaluate_options,
    check_values,
    checked_output,
    checked_values,
)
from nnunet_prompt.evaluation.conventions import conventions
from nnunet_prompt.evaluation.extras import (
    add_calibration,
    add_groups,
    add_readers,
    check_outputs,
    grouping_facts,
    write_outputs,
)
from nnunet_prompt.evaluation.metrics import Scores
from nnunet_prompt.evaluation.names import Names, read_names
from nnunet_prompt.evaluation.options import EvaluateOptions, FolderOptions, Key, Measures, resolve
from nnunet_prompt.evaluation.pairs import Missing, Pairs, listed, pair_files
from nnunet_prompt.evaluation.processes import run_all
from nnunet_prompt.evaluation.results import (
    EMPTY_RULE,
    Counts,
    Evaluation,
    summarise,
    weighted_by_volume,
)
from nnunet_prompt.evaluation.resume import Finished
from nnunet_prompt.io.image_files import read_label_file

_log = logging.getLogger(__name__)

MANY = 5  # cases that are not reported one by one


def evaluate_folders(
    labels: Path | str,
    predictions: Path | str,
    output: Path | str | None = None,
    *,
    folder_options: FolderOptions | None = None,
    options: EvaluateOptions | None = None,
) -> Evaluation:
    """Scores each file of `labels` with the file of the same case in `predictions`; any format of `io.image_files`.

    folder_options: values, names, what is done about unpaired files, processes.
    options: further metrics, unions, groups and the table.

    Spacing is that of the label file, as nnU-Net's reader takes it. The result goes to `output`, too, if that is given.
    Logs warnings of cases that are missing, unmatched or failed, and of headers that contradict themselves. A run that
    was stopped is resumed if it has an `output`: until that is written, finished cases are kept beside it.

    Raises `NNUNetPromptError` if an argument cannot be used, if the folders do not fit each other (`pairs`) or if they
    share no label value or hold none of `label_values`, so that nothing but zeros would come out; what is wrong with a
    single case stands under "failed".
    """
    given = folder_options or FolderOptions()
    labels, predictions = as_path("labels", labels), as_path("predictions", predictions)
    output = checked_output(output)
    options = as_evaluate_options(options)
    named = [Path(given.names)] if isinstance(given.names, (str, Path)) else []
    check_outputs(output, options, [labels, predictions, *named])
    values = checked_values(given.label_values)
    whole_number("num_processes", given.num_processes, lowest=1, example=2)
    known = read_names(given.names, labels, predictions)
    pairs = pair_files(labels, predictions, missing=given.missing, extra=given.extra)
    facts, source = grouping_facts(options, labels)
    finished = Finished(output)
    results = _scored(pairs, values, known, given, options, finished)
    add_groups(results, options, facts, source)
    add_calibration(results, options, pairs.labels, values=values, ignore=known.ignore)
    add_readers(results, options, labels, pairs, known.ignore)
    write_outputs(results, output, options, facts)
    finished.forget()
    return results


def _scored(
    pairs: Pairs,
    values: tuple[int, ...] | None,
    known: Names,
    given: FolderOptions,
    options: EvaluateOptions,
    finished: Finished,
) -> Evaluation:
    """The scores of all cases, those that are finished already and the others."""
    seen = _first_values(pairs) if len(known.numberings) > 1 else set[int]()
    measures = resolve(options, known, seen, values)
    jobs = _jobs(pairs, values, known.ignore, given.missing, measures)
    outcomes = _outcomes(jobs, given.num_processes, finished)
    scored = {case: o.scores for case, o in outcomes.items() if o.failure is None}
    try:
        check_values(values, scored, pairs)
    except NNUNetPromptError:  # nothing will come of the cases that are kept
        finished.forget()
        raise
    results = collect_results(pairs, scored, outcomes, known, measures)
    results["rules"] |= {"missing": given.missing, "extra": given.extra}
    _reported(results, outcomes)
    return results


def _first_values(pairs: Pairs) -> set[int]:
    """The values in the first label file that can be read and has some."""
    for paths in pairs.labels.values():
        try:
            found = set(np.unique(read_label_file(paths[0]).array).tolist()) - {0}
        except NNUNetPromptError:
            continue  # its own case reports it
        if found:
            return found
    return set()


def _outcomes(jobs: Sequence[Job], num_processes: int, finished: Finished) -> dict[str, Outcome]:
    kept = {job.case: finished.outcome(job) for job in jobs}
    left = [job for job in jobs if kept[job.case] is None]
    if len(left) < len(jobs):
        _log.info("%d of %d cases are scored already", len(jobs) - len(left), len(jobs))
    done = progress(
        _kept_one_by_one(left, num_processes, finished),
        "evaluate",
        total=len(jobs),
        initial=len(jobs) - len(left),
    )
    outcomes = dict(zip((job.case for job in left), done, strict=True))
    return {job.case: kept[job.case] or outcomes[job.case] for job in jobs}


def _kept_one_by_one(
    jobs: Sequence[Job], num_processes: int, finished: Finished
) -> Iterator[Outcome]:
    done = run_all(run_job, jobs, num_processes, died=job_died) if jobs else iter(())
    for job, outcome in zip(jobs, done, strict=True):
        finished.keep(job, outcome)
        yield outcome


def _jobs(
    pairs: Pairs,
    values: tuple[int, ...] | None,
    ignore: int | None,
    missing: Missing,
    measures: Measures,
) -> list[Job]:
    return [
        Job(case, tuple(paths), tuple(pairs.predictions.get(case, ())), values, ignore, measures)
        for case, paths in pairs.labels.items()
        if missing == "empty" or case in pairs.predictions
    ]


def collect_results(
    pairs: Pairs,
    scored: Mapping[str, Mapping[Key, Scores]],
    outcomes: Mapping[str, Outcome],
    names: Names,
    measures: Measures,
) -> Evaluation:
    """The evaluation of the cases in `scored`, whose outcomes hold what else is known of them."""
    found = {v for scores in scored.values() for v in scores if isinstance(v, int)}
    titles: dict[Key, str] = dict(names.of(found).items())
    titles.update(measures.names.items())
    added = {case: outcomes[case].added for case in scored}
    cases, mean, structures = summarise(scored, titles, added)
    named = any(row["name"] for row in structures.values() if "members" not in row)
    results: Evaluation = {
        "cases": cases,
        "mean": mean,
        "structures": structures,
        "counts": _counts(
            pairs, len(scored), sum(o.failure is not None for o in outcomes.values())
        ),
        "rules": {
            "missing": "error",
            "extra": "error",
            "empty": EMPTY_RULE,
            "names": str(names.source) if named and names.source else None,
            "ignore_label": names.ignore,
        },
        "weighted": weighted_by_volume(cases),
        "conventions": conventions(measures),
    }
    _add_exceptions(results, pairs, outcomes)
    return results


def _add_exceptions(results: Evaluation, pairs: Pairs, outcomes: Mapping[str, Outcome]) -> None:
    """Adds the keys that are there only when there is something to state."""
    failed = {case: o.failure for case, o in outcomes.items() if o.failure is not None}
    headers = {case: list(o.notes) for case, o in outcomes.items() if o.notes}
    if pairs.missing:
        results["missing"] = pairs.missing
    if pairs.extra:
        results["unmatched"] = pairs.extra
    if failed:
        results["failed"] = failed
    if headers:
        results["headers"] = headers


def _counts(pairs: Pairs, scored: int, failed: int) -> Counts:
    return {
        "label_files": len(pairs.labels),
        "scored": scored,
        "missing": len(pairs.missing),
        "unmatched": len(pairs.extra),
        "failed": failed,
    }


def _reported(results: Evaluation, outcomes: Mapping[str, Outcome]) -> None:
    done = "scored as empty" if results["rules"]["missing"] == "empty" else "left out"
    lines = _about(results.get("missing", []), f"no prediction, {done}")
    lines += _about(results.get("unmatched", []), "no label file, not scored")
    lines += [f"{case}: not scored: {why}" for case, why in results.get("failed", {}).items()]
    lines += [line for notes in results.get("headers", {}).values() for line in notes]
    lines += dict.fromkeys(line for o in outcomes.values() for line in o.broken)
    for line in lines:
        _log.warning(line)


def _about(cases: Sequence[str], what: str) -> list[str]:
    """A line per case, or one line where they are many."""
    if len(cases) > MANY:
        return [f"{len(cases)} cases: {what}: {listed(cases)}"]
    return [f"{case}: {what}" for case in cases]
