"""What the page of masks shows, in its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nnunet_prompt.evaluation.results import format_notes
from nnunet_prompt.report.charts import Chart, Row, differences, distributions
from nnunet_prompt.report.made_by import Fact
from nnunet_prompt.report.numbers import interval
from nnunet_prompt.report.options import ReportOptions
from nnunet_prompt.report.outlines import Marks
from nnunet_prompt.report.pictures import CasePictures
from nnunet_prompt.report.study import Arm, Study
from nnunet_prompt.report.tables import (
    Table,
    bounds,
    case_table,
    difference_table,
    gap_line,
    group_table,
    group_values,
    scores_of_case,
    structure_tables,
)
from nnunet_prompt.report.words import Metric, main_metrics, metric_of

WORST = 5


@dataclass(frozen=True, slots=True)
class Headline:
    """A number of the summary: its title and unit, and for each arm the value and a line below it."""

    title: str
    unit: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Worst:
    """A case named in the summary."""

    case: str
    anchor: str
    why: str


@dataclass(frozen=True, slots=True)
class GroupSection:
    """A grouping: a chart and table per arm, and the gap in words."""

    title: str
    charts: tuple[Chart, ...]
    tables: tuple[Table, ...]
    gaps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CaseSection:
    """A case: its place in the order, its scores and its pictures."""

    case: str
    anchor: str
    place: int
    groups: str
    scores: Table
    pictures: CasePictures


@dataclass(frozen=True, slots=True)
class MasksPage:
    """All that the template `masks.html` shows."""

    title: str
    lede: str
    arms: tuple[str, ...]
    headlines: tuple[Headline, ...]
    worst: tuple[Worst, ...]
    structures: tuple[Table, ...]
    charts: tuple[Chart, ...]
    compared: Table | None
    compared_charts: tuple[Chart, ...]
    groups: tuple[GroupSection, ...]
    case_table: Table
    cases: tuple[CaseSection, ...]
    failed: tuple[tuple[str, str], ...]
    has_images: bool
    has_prompts: bool
    has_negatives: bool
    facts: tuple[Fact, ...]
    notes: tuple[str, ...]


def masks_page(
    study: Study,
    pictures: Mapping[str, CasePictures],
    facts: Sequence[Fact],
    options: ReportOptions,
) -> MasksPage:
    """The page of a study."""
    anchors = {case: f"case-{i}" for i, case in enumerate(study.cases, 1)}
    main = main_metrics(m.key for m in study.metrics)
    two = len(study.arms) == 2
    notes = dict.fromkeys(line for arm in study.arms for line in _notes(arm))
    return MasksPage(
        title=" and ".join(arm.name for arm in study.arms),
        lede=_lede(study, options),
        arms=tuple(arm.name for arm in study.arms),
        headlines=tuple(_headlines(study, main)),
        worst=tuple(_worst(study, anchors)),
        structures=tuple(structure_tables(study)),
        charts=tuple(_by_structure(study, metric, anchors) for metric in main),
        compared=difference_table(study, main) if two else None,
        compared_charts=tuple(_compared(study, m, anchors) for m in main[:2]) if two else (),
        groups=tuple(_groups(study, main[0], anchors)),
        case_table=case_table(study, anchors),
        cases=tuple(_cases(study, anchors, pictures)),
        failed=tuple(study.failed.items()),
        has_images=options.images is not None,
        has_prompts=any(_has(p, "positive") for p in pictures.values()),
        has_negatives=any(_has(p, "negative") for p in pictures.values()),
        facts=tuple(facts),
        notes=tuple(notes),
    )


def _notes(arm: Arm) -> list[str]:
    """What `evaluate` notes below its table, and its conventions where it names them."""
    lines = format_notes(arm.results).splitlines()
    stated: Mapping[str, object] = dict(arm.results)
    conventions = stated.get("conventions")
    for key, value in conventions.items() if isinstance(conventions, Mapping) else ():
        shown = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        if shown and value not in (None, {}):
            lines.append(f"{key.replace('_', ' ')}: {shown}")
    return lines


def _lede(study: Study, options: ReportOptions) -> str:
    cases, structures = len(study.cases), list(study.structures.values())
    what = f"{structures[0]}" if len(structures) == 1 else f"{len(structures)} structures"
    listed = f" ({', '.join(structures)})" if 1 < len(structures) <= 8 else ""
    against = f"Masks of {what}{listed} in {cases} case{'s' * (cases != 1)}"
    given = " made with prompts" if options.prompts is not None and len(study.arms) == 1 else ""
    failed = len(study.failed)
    tail = f" {failed} case{'s' * (failed != 1)} could not be scored." if failed else ""
    return f"{against}{given}, measured against reference label maps.{tail}"


def _headlines(study: Study, main: Sequence[Metric]) -> list[Headline]:
    """The mean of the case means of each main metric, per arm."""
    found = []
    for metric in main:
        values = []
        for arm in study.arms:
            one = interval(list(study.means(study.arms.index(arm), metric.key).values()))
            if one is None:
                continue
            limits = bounds(one, metric)
            below = f"95 % interval {limits}" if limits else "one case"
            name = f"{arm.name}, " if len(study.arms) > 1 else ""
            values.append((metric.text(one.mean), f"{name}{below}"))
        found.append(Headline(metric.mean, metric.unit, tuple(values)))
    return found


def _worst(study: Study, anchors: Mapping[str, str]) -> list[Worst]:
    dice = metric_of("dice")
    found = []
    for case in study.worst_first[:WORST]:
        values = [study.of_case(arm, case, "dice") for arm in range(len(study.arms))]
        why = " → ".join(dice.text(value) for value in values)
        found.append(Worst(case, anchors[case], f"Dice {why}"))
    return found


def _by_structure(study: Study, metric: Metric, anchors: Mapping[str, str]) -> Chart:
    several = len(study.arms) > 1
    rows = [
        Row(
            f"{name} · {study.arms[arm].name}" if several else name,
            study.values(arm, key, metric.key),
            bool(arm),
        )
        for key, name in study.structures.items()
        for arm in range(len(study.arms))
    ]
    return distributions(rows, metric, anchors, name=f"by-structure-{metric.key}", what="structure")


def _compared(study: Study, metric: Metric, anchors: Mapping[str, str]) -> Chart:
    rows = [Row(name, study.differences(key, metric.key)) for key, name in study.structures.items()]
    arms = [arm.name for arm in study.arms]
    return differences(rows, metric, anchors, name=f"differences-{metric.key}", arms=arms)


def _groups(study: Study, metric: Metric, anchors: Mapping[str, str]) -> list[GroupSection]:
    found = []
    arms = range(len(study.arms))
    for number, (title, column) in enumerate(study.columns.items()):
        values = [group_values(study, arm, column, metric) for arm in arms]
        rows = [
            Row(
                f"{group} · {study.arms[arm].name}" if len(arms) > 1 else group, own[group], arm > 0
            )
            for group in values[0]
            for arm, own in enumerate(values)
        ]
        chart = distributions(rows, metric, anchors, name=f"groups-{number}", what=title)
        tables = tuple(group_table(study, arm, column, metric) for arm in arms)
        gaps = tuple(gap_line(own, metric) for own in values)
        found.append(GroupSection(title, (chart,), tables, gaps))
    return found


def _cases(
    study: Study, anchors: Mapping[str, str], pictures: Mapping[str, CasePictures]
) -> list[CaseSection]:
    return [
        CaseSection(
            case=case,
            anchor=anchors[case],
            place=place,
            groups=" · ".join(
                f"{title} {column[case]}"
                for title, column in study.columns.items()
                if case in column
            ),
            scores=scores_of_case(study, case),
            pictures=pictures.get(case, CasePictures()),
        )
        for place, case in enumerate(study.worst_first, 1)
    ]


def _has(pictures: CasePictures, sign: str) -> bool:
    return any(getattr(picture, sign) != Marks() for picture in pictures.slices)
