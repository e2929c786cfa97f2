"""The rows of the tables of a report, with the text of each cell and the value that it is sorted by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nnunet_prompt.evaluation.groups import FEW, gap_of
from nnunet_prompt.report.numbers import Interval, interval
from nnunet_prompt.report.study import Study
from nnunet_prompt.report.words import Metric, metric_of, table_metrics

MANY_STRUCTURES = 6  # more than these have no column of their own in the table of cases


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: `text` first, `more` in small type behind it, `sort` for sorting ("" for nothing), `href` for a link."""

    text: str
    more: str = ""
    sort: float | str = ""
    href: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its columns, and its rows of as many cells. `number` columns are set flush right.

    keys: an id for each row, of the case that it belongs to, or ()
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: tuple[bool, ...]
    keys: tuple[str, ...] = ()


def structure_tables(study: Study) -> list[Table]:
    """One table per arm: structures by metrics, mean and 95 % interval."""
    return [_structures_of(study, arm) for arm in range(len(study.arms))]


def _structures_of(study: Study, arm: int) -> Table:
    rows, metrics = [], table_metrics(study.metrics)
    for key, name in study.structures.items():
        about = study.arms[arm].results["structures"].get(key)
        found = [(m, interval(list(study.values(arm, key, m.key).values()))) for m in metrics]
        n = max((one.n for _, one in found if one), default=0)
        missed = about.get("only_label", 0) if about else 0
        rows.append(
            (
                Cell(name, sort=name),
                Cell(str(n), sort=n),
                Cell(str(missed), sort=missed),
                *(mean_cell(one, metric) for metric, one in found),
            )
        )
    columns = ("Structure", "Cases", "Not found", *(m.head for m in metrics))
    caption = "Mean over the cases, with its 95 % bootstrap interval"
    return Table(caption, columns, tuple(rows), (False, *(True for _ in columns[1:])))


def mean_cell(found: Interval | None, metric: Metric, *, signed: bool = False) -> Cell:
    """A mean with its interval."""
    if found is None:
        return Cell("–")
    return Cell(
        metric.text(found.mean, signed=signed), bounds(found, metric, signed=signed), found.mean
    )


def bounds(found: Interval, metric: Metric, *, signed: bool = False) -> str:
    """An interval in words; "" where there is none."""
    if found.low is None or found.high is None:
        return ""
    low, high = (metric.text(v, signed=signed) for v in (found.low, found.high))
    return _range(low, high)


def _range(low: str, high: str) -> str:
    return f"{low} to {high}" if set("+−") & set(low + high) else f"{low}–{high}"


def case_table(study: Study, anchors: Mapping[str, str]) -> Table:
    """One row per case, in the order of the page; each names its case as a link."""
    metrics = [m for m in (metric_of("dice"), metric_of("hd95_mm")) if m in study.metrics]
    named = study.structures
    single = named if 1 < len(named) <= MANY_STRUCTURES and len(study.arms) == 1 else {}
    several = len(study.arms) > 1
    heads = [
        f"{m.head}, {arm.name}" if several else (f"Mean {m.head}" if len(named) > 1 else m.head)
        for m in metrics
        for arm in study.arms
    ]
    columns = ("Case", *study.columns, *heads, *(("Δ Dice",) if several else ()))
    columns += tuple(f"Dice {name}" for name in single.values())
    dice = metric_of("dice")
    apart = study.differences(None, "dice") if several else {}
    rows = []
    for case in study.worst_first:
        groups = [Cell(g, sort=g) for g in (c.get(case, "") for c in study.columns.values())]
        means = [
            _number(study.of_case(arm, case, m.key), m)
            for m in metrics
            for arm in range(len(study.arms))
        ]
        more = [_number(apart.get(case), dice, signed=True)] if several else []
        own = [_number(study.values(0, key, "dice").get(case), dice) for key in single]
        link = Cell(case, sort=case, href=f"#{anchors[case]}")
        rows.append((link, *groups, *means, *more, *own))
    text = 1 + len(study.columns)
    numbers = tuple(i >= text for i in range(len(columns)))
    keys = tuple(anchors[case] for case in study.worst_first)
    return Table("", columns, tuple(rows), numbers, keys)


def scores_of_case(study: Study, case: str) -> Table:
    """The metrics of a case: a row per structure, and per arm where there are two."""
    rows, metrics = [], table_metrics(study.metrics)
    for key, name in study.structures.items():
        for arm in study.arms:
            found = arm.results["cases"].get(case, {}).get(key)
            if found is None:
                continue
            label = name if len(study.arms) == 1 else f"{name}, {arm.name}"
            rows.append((Cell(label), *(_number(found.get(m.key), m) for m in metrics)))
    columns = ("Structure", *(m.head for m in metrics))
    return Table("", columns, tuple(rows), (False, *(True for _ in columns[1:])))


def group_table(study: Study, arm: int, column: Mapping[str, str], metric: Metric) -> Table:
    """The groups of a column: cases, mean of the case means, spread; groups of few cases are marked."""
    values = group_values(study, arm, column, metric)
    rows = []
    for name, found in values.items():
        one = interval(list(found.values()))
        few = "few cases" if len(found) < FEW else ""
        spread = metric.text(one.spread).lstrip("+") if one and one.n > 1 else "–"
        rows.append(
            (
                Cell(name, few, name),
                Cell(str(len(found)), sort=len(found)),
                mean_cell(one, metric),
                Cell(spread, sort=one.spread if one else ""),
            )
        )
    columns = ("Group", "Cases", f"Mean {metric.head}", "Standard deviation")
    return Table("", columns, tuple(rows), (False, True, True, True))


def group_values(
    study: Study, arm: int, column: Mapping[str, str], metric: Metric
) -> dict[str, dict[str, float]]:
    """The case means by group, the groups by name."""
    found: dict[str, dict[str, float]] = {group: {} for group in sorted(set(column.values()))}
    for case, value in study.means(arm, metric.key).items():
        if case in column:
            found[column[case]][case] = value
    return found


def gap_line(values: Mapping[str, Mapping[str, float]], metric: Metric) -> str:
    """The gap between the best and the worst group in one sentence; "" for a single group."""
    found = gap_of(
        {name: list(one.values()) for name, one in values.items()},
        -1 if metric.better == "low" else 1,
    )
    if found is None:
        return ""
    line = f"Gap between {found['best']} (best) and {found['worst']}: {metric.text(found['gap'])}"
    if found["low"] is not None and found["high"] is not None:
        low, high = (metric.text(v) for v in (found["low"], found["high"]))
        line += f" (95 % interval {_range(low, high)})"
    return f"{line}{' ' + metric.unit if metric.unit else ''}."


def difference_table(study: Study, metrics: Sequence[Metric]) -> Table:
    """Second minus first arm, paired by case: a row per structure."""
    rows = []
    for key, name in study.structures.items():
        cells = []
        count = 0
        for metric in metrics:
            found = interval(list(study.differences(key, metric.key).values()))
            count = max(count, found.n if found else 0)
            cells.append(mean_cell(found, metric, signed=True))
        rows.append((Cell(name, sort=name), Cell(str(count), sort=count), *cells))
    columns = ("Structure", "Cases", *(f"Δ {m.head}" for m in metrics))
    first, second = (arm.name for arm in study.arms)
    caption = (
        f"{second} minus {first}: mean of the paired differences, with its 95 % bootstrap interval"
    )
    return Table(caption, columns, tuple(rows), (False, *(True for _ in columns[1:])))


def _number(value: float | None, metric: Metric, *, signed: bool = False) -> Cell:
    sort: float | str = "" if value is None else value
    return Cell(metric.text(value, signed=signed), sort=sort)
