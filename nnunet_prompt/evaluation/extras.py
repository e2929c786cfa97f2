"""What is made of finished scores: groups, the table, and where each may be written."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from nnunet_prompt.common.errors import DatasetError, NNUNetPromptError
from nnunet_prompt.evaluation.facts import Facts, find_facts, read_facts, with_task
from nnunet_prompt.evaluation.groups import group_scores
from nnunet_prompt.evaluation.options import EvaluateOptions
from nnunet_prompt.evaluation.pairs import Pairs, files_by_case
from nnunet_prompt.evaluation.readers import compare_readers
from nnunet_prompt.evaluation.reliability import calibrate, draw_reliability
from nnunet_prompt.evaluation.results import Evaluation, write_results
from nnunet_prompt.evaluation.tables import write_table
from nnunet_prompt.io.guard import check_output_file
from nnunet_prompt.io.probability_file import probability_files

_log = logging.getLogger(__name__)


def grouping_facts(options: EvaluateOptions, labels: Path | None) -> tuple[Facts, Path | None]:
    """The columns that group the cases, and their file: the caller's, else that of the label maps' data set.

    What cannot be read beside the label maps is a warning.
    """
    if options.groups is not None:
        source = Path(options.groups)
        return read_facts(source)[1], source
    try:
        facts, found = find_facts(labels) if labels is not None else ({}, None)
        return with_task(facts), found
    except DatasetError as error:
        _log.warning("%s; cases are not grouped", error)
        return {}, None


def check_outputs(output: Path | None, options: EvaluateOptions, inputs: Iterable[Path]) -> None:
    """Raises `NNUNetPromptError` where an output is an input, would be taken for one, or is the other output."""
    table = None if options.csv is None else Path(options.csv)
    more = (options.groups, options.probabilities, *options.readers)
    given = [Path(p) for p in more if p is not None]
    for reader in options.readers:
        files_by_case(Path(reader))  # before the cases are scored
    read = [*inputs, *given]
    _check_diagram(options, read, [p for p in (output, table) if p is not None])
    if output is not None:
        check_output_file(output, read)
    if table is None:
        return
    check_output_file(table, read, option="--csv")
    if output is not None and table.absolute() == output.absolute():
        raise NNUNetPromptError(f"{table}: is the output of -o, too: give --csv another name")


def _check_diagram(options: EvaluateOptions, read: list[Path], others: list[Path]) -> None:
    if options.probabilities is not None:
        probability_files(Path(options.probabilities))  # before the cases are scored
    if options.reliability is None:
        return
    diagram = Path(options.reliability)
    check_output_file(diagram, read, option="--reliability")
    if diagram.absolute() in [path.absolute() for path in others]:
        raise NNUNetPromptError(
            f"{diagram}: is another output, too: give --reliability its own name"
        )


def add_calibration(
    results: Evaluation,
    options: EvaluateOptions,
    labels: Mapping[str, Sequence[Path]],
    *,
    values: Sequence[int] | None,
    ignore: int | None,
) -> None:
    """Adds the calibration of probability maps to the results, where there are any."""
    if options.probabilities is None:
        return
    titles = {key: row["name"] for key, row in results["structures"].items()}
    maps = probability_files(Path(options.probabilities))
    results["calibration"] = calibrate(labels, maps, values=values, ignore=ignore, titles=titles)


def add_readers(
    results: Evaluation,
    options: EvaluateOptions,
    labels: Path,
    pairs: Pairs,
    ignore: int | None,
) -> None:
    """Adds the agreement of several readers to the results; the reader of `labels` is the first."""
    if not options.readers:
        return
    maps = {}
    if options.probabilities is not None:
        maps = probability_files(Path(options.probabilities))
    results["readers"] = compare_readers(
        [labels, *map(Path, options.readers)],
        {case: paths for case, paths in pairs.predictions.items() if case in pairs.labels},
        {key: row["name"] for key, row in results["structures"].items()},
        maps=maps,
        ignore=ignore,
    )


def add_groups(
    results: Evaluation, options: EvaluateOptions, facts: Facts, source: Path | None
) -> None:
    """Adds the groups to the results, where there are any."""
    if source is not None:
        groups = group_scores(results["cases"], facts, source, given=options.groups is not None)
        if groups:
            results["groups"] = groups


def write_outputs(
    results: Evaluation, output: Path | None, options: EvaluateOptions, facts: Facts
) -> None:
    """Writes metrics.json, then the table, where they are asked for. Raises `NNUNetPromptError`."""
    if output is not None:
        write_results(results, output)
    if options.csv is not None:
        write_table(results, Path(options.csv), facts)
    if options.reliability is not None and "calibration" in results:
        draw_reliability(results["calibration"], Path(options.reliability))
