"""Scores a folder of predictions against a folder of label files, and writes metrics.json.

`pairs` says which files belong together and what is refused, `names` where names come from, `results` what the answer
looks like, and `metrics` defines the metrics and the empty cases.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from nnunet_prompt.common.arguments import as_path, check_type, items, shown, whole_number
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.common.log import progress
from nnunet_prompt.evaluation.case import Job, Outcome, job_died, run_job
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
from nnunet_prompt.evaluation.names import Names, NamesLike, read_names
from nnunet_prompt.evaluation.options import EvaluateOptions, Key, Measures, resolve
from nnunet_prompt.evaluation.pairs import Extra, Missing, Pairs, listed, pair_files
from nnunet_prompt.evaluation.processes import run_all
from nnunet_prompt.evaluation.results import (
    EMPTY_RULE,
    Counts,
    Evaluation,
    only_label,
    only_prediction,
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
    label_values: Sequence[int] | None = None,
    missing: Missing = "error",
    extra: Extra = "error",
    names: NamesLike = None,
    num_processes: int = 1,
    options: EvaluateOptions | None = None,
) -> Evaluation:
    """Scores each file of `labels` with the file of the same case in `predictions`; any format of `io.image_files`.

    missing: a case without a prediction is an error, is scored as an empty mask, or is skipped.
    extra: a prediction without a label file is an error, or is skipped.
    names: `{500: "LV"}`, "500=LV,200=scar" or a dataset.json; None looks for the data set's own. A value named `ignore`
    is not scored, and its voxels in the label map belong to nothing.
    label_values: the values to score; None scores all that occur.

    options: further metrics, unions, groups and the table.

    Spacing is that of the label file, as nnU-Net's reader takes it. The result goes to `output`, too, if that is given.
    Logs warnings of cases that are missing, unmatched or failed, and of headers that contradict themselves.
    `num_processes` above 1 needs `if __name__ == "__main__"`. A run that was stopped is resumed if it has an `output`:
    until that is written, finished cases are kept beside it.

    Raises `NNUNetPromptError` if an argument cannot be used, if the folders do not fit each other (`pairs`) or if they
    share no label value or hold none of `label_values`, so that nothing but zeros would come out; what is wrong with a
    single case stands under "failed".
    """
    labels, predictions = as_path("labels", labels), as_path("predictions", predictions)
    output = checked_output(output)
    options = as_evaluate_options(options)
    named = [Path(names)] if isinstance(names, (str, Path)) else []
    check_outputs(output, options, [labels, predictions, *named])
    values = checked_values(label_values)
    num_processes = whole_number("num_processes", num_processes, lowest=1, example=2)
    known = read_names(names, labels, predictions)
    pairs = pair_files(labels, predictions, missing=missing, extra=extra)
    facts, source = grouping_facts(options, labels)
    seen = _first_values(pairs) if len(known.numberings) > 1 else set[int]()
    measures = resolve(options, known, seen, values)
    finished = Finished(output)
    jobs = _jobs(pairs, values, known.ignore, missing, measures)
    outcomes = _outcomes(jobs, num_processes, finished)
    scored = {case: o.scores for case, o in outcomes.items() if o.failure is None}
    try:
        _check_values(values, scored, pairs)
    except NNUNetPromptError:  # nothing will come of the cases that are kept
        finished.forget()
        raise
    results = collect_results(pairs, scored, outcomes, known, measures)
    results["rules"] |= {"missing": missing, "extra": extra}
    _reported(results, outcomes)
    add_groups(results, options, facts, source)
    add_calibration(results, options, pairs.labels, values=values, ignore=known.ignore)
    add_readers(results, options, labels, pairs, known.ignore)
    write_outputs(results, output, options, facts)
    finished.forget()
    return results


def as_evaluate_options(options: EvaluateOptions | None) -> EvaluateOptions:
    """The options, or those by default. Raises `NNUNetPromptError` for anything else."""
    if options is not None:
        check_type("options", options, EvaluateOptions, "EvaluateOptions(tolerances_mm=(1, 2))")
    return options or EvaluateOptions()


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


def checked_output(output: Path | str | None) -> Path | None:
    path = None if output is None else as_path("output", output)
    if path is not None and path.is_dir():
        raise NNUNetPromptError(f"{path} is a folder: give a file, such as {path / 'metrics.json'}")
    return path


def checked_values(label_values: Sequence[int] | None) -> tuple[int, ...] | None:
    if label_values is None:
        return None
    given = items(label_values)
    if given is None:
        raise NNUNetPromptError(
            f"label_values: expected a list such as [500, 200], found {shown(label_values)}"
        )
    values = [whole_number("label_values", v, lowest=0, example=500) for v in given]
    if not values or 0 in values:
        raise NNUNetPromptError(
            f"label values must be one or more and not the background 0, found {values}"
        )
    return tuple(dict.fromkeys(values))


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
    failed = {case: o.failure for case, o in outcomes.items() if o.failure is not None}
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
        "counts": _counts(pairs, len(scored), len(failed)),
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
    if pairs.missing:
        results["missing"] = pairs.missing
    if pairs.extra:
        results["unmatched"] = pairs.extra
    if failed:
        results["failed"] = failed
    headers = {case: list(o.notes) for case, o in outcomes.items() if o.notes}
    if headers:
        results["headers"] = headers
    return results


def _counts(pairs: Pairs, scored: int, failed: int) -> Counts:
    return {
        "label_files": len(pairs.labels),
        "scored": scored,
        "missing": len(pairs.missing),
        "unmatched": len(pairs.extra),
        "failed": failed,
    }


def _check_values(
    values: Sequence[int] | None, scored: Mapping[str, Mapping[Key, Scores]], pairs: Pairs
) -> None:
    labels = {
        case: {key: s for key, s in scores.items() if isinstance(key, int)}
        for case, scores in scored.items()
    }
    if values is None:
        _check_values_meet([s for case, s in labels.items() if case in pairs.predictions])
    else:
        _check_values_occur(values, labels)


def _check_values_meet(scored: Sequence[Mapping[int, Scores]]) -> None:
    """Two numberings (1, 2, 3 and 500, 600, 200) would score 0 throughout, which looks like a bad model."""
    rows = [(value, s) for scores in scored for value, s in scores.items() if not np.isnan(s.dice)]
    reference = sorted({value for value, s in rows if not only_prediction(s)})
    predicted = sorted({value for value, s in rows if not only_label(s)})
    if reference and predicted and not set(reference) & set(predicted):
        raise NNUNetPromptError(
            f"label maps and predictions share no value: the label maps hold {_numbers(reference)}, the predictions"
            f" {_numbers(predicted)}: renumber one of them, or state what to score with --values {reference[0]}"
        )


def _check_values_occur(values: Sequence[int], scored: Mapping[str, Mapping[int, Scores]]) -> None:
    """Chosen values that are in no file would give a table without a number."""
    dice = [s.dice for scores in scored.values() for s in scores.values()]
    if dice and np.isnan(dice).all():
        raise NNUNetPromptError(
            f"label values: expected values that occur, found {_numbers(values)}, which no label map and no prediction"
            " holds: leave out --values to score all"
        )


def _numbers(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:8])) + (" ..." if len(values) > 8 else "")


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
