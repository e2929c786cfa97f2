"""What the page of a training shows, in its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_prompt.common.errors import ModelError, NNUNetPromptError
from nnunet_prompt.io.json_file import read_object
from nnunet_prompt.networks.capability import CAPABILITY_FILE
from nnunet_prompt.report.as_seen import LEGEND, Seen
from nnunet_prompt.report.charts import Chart, Row, curves, distributions
from nnunet_prompt.report.log_file import TrainingLog
from nnunet_prompt.report.made_by import Fact, model_facts, report_facts
from nnunet_prompt.report.numbers import interval
from nnunet_prompt.report.options import ReportOptions
from nnunet_prompt.report.pictures import CasePictures
from nnunet_prompt.report.sections import CaseSection, GroupSection, Headline, Worst
from nnunet_prompt.report.study import Study
from nnunet_prompt.report.tables import Cell, Table, bounds, mean_cell
from nnunet_prompt.report.validation import NONE, Validation
from nnunet_prompt.report.words import metric_of

METRICS = ("dice", "hd95_mm")
WORST = 5
_TITLES = {NONE: "no prompt"}


@dataclass(frozen=True, slots=True)
class Training:
    """What is known of a training.

    logs: by the name of the fold
    kind: the kind of prompt whose masks are shown beside those without prompts; "" for none
    seen_in: the structure and case of `seen`
    """

    model: Path
    folds: tuple[Path, ...]
    logs: Mapping[str, TrainingLog]
    validation: Validation | None
    kind: str
    seen_in: str
    seen: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class FoldCurves:
    """The curves of one fold."""

    fold: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True, slots=True)
class TrainingPage:
    """All that the template `training.html` shows."""

    title: str
    lede: str
    arms: tuple[str, ...]
    headlines: tuple[Headline, ...]
    worst: tuple[Worst, ...]
    curves: tuple[FoldCurves, ...]
    kinds: Table | None
    kind_charts: tuple[Chart, ...]
    case_table: Table | None
    cases: tuple[CaseSection, ...]
    groups: tuple[GroupSection, ...]
    has_images: bool
    has_prompts: bool
    has_negatives: bool
    seen_in: str
    seen: tuple[Seen, ...]
    legend: Mapping[str, str]
    capability: tuple[Fact, ...]
    facts: tuple[Fact, ...]
    notes: tuple[str, ...]


def training_page(
    training: Training,
    pictures: Mapping[str, CasePictures],
    options: ReportOptions,
    notes: Sequence[str],
) -> TrainingPage:
    """The page of a training."""
    validation = training.validation
    study = validation.study if validation else Study(training.model, ())
    anchors = {case: f"case-{i}" for i, case in enumerate(study.cases, 1)}
    order = _order(study)
    slices = [one for found in pictures.values() for one in found.slices]
    arms = (title_of(NONE), training.kind) if training.kind else (title_of(NONE),)
    return TrainingPage(
        title=training.model.absolute().name.replace("__", " · "),
        lede=_lede(training),
        arms=arms,
        headlines=tuple(_headlines(study)),
        worst=tuple(_worst(study, order, anchors)),
        curves=tuple(FoldCurves(name, _curves(name, log)) for name, log in training.logs.items()),
        kinds=_kinds(validation) if validation else None,
        kind_charts=tuple(_by_kind(study, metric, anchors) for metric in METRICS) if order else (),
        case_table=_case_table(study, order, anchors) if order else None,
        cases=tuple(_cases(study, order, anchors, pictures)),
        groups=(),
        has_images=any(one.image for one in slices),
        has_prompts=False,
        has_negatives=False,
        seen_in=training.seen_in,
        seen=training.seen,
        legend=LEGEND,
        capability=tuple(_capability(training.model)),
        facts=tuple(_facts(training, options)),
        notes=tuple(notes),
    )


def title_of(kind: str) -> str:
    """A kind of prompt as the page names it."""
    return _TITLES.get(kind, kind)


def _order(study: Study) -> list[str]:
    return replace(study, arms=study.arms[:1]).worst_first if study.arms else []


def _lede(training: Training) -> str:
    folds = ", ".join(fold.name for fold in training.folds)
    epochs = max((log.epochs for log in training.logs.values()), default=0)
    text = f"{folds} of {training.model.absolute().parent.name}"
    text += f", {epochs} epochs" if epochs else ", without a log of its epochs"
    if training.validation is None:
        return f"{text}, not validated yet."
    study = training.validation.study
    kinds = sum(arm.name != NONE for arm in study.arms)
    given = f" without prompts and with {kinds} kinds of prompts" if kinds else ""
    return f"{text}; validated on {len(study.cases)} cases{given}."


def _headlines(study: Study) -> list[Headline]:
    """The mean Dice without prompts, and those of the three best kinds of prompt."""
    dice, found = metric_of("dice"), []
    for arm, kind in enumerate(study.arms):
        one = interval(list(study.means(arm, "dice").values()))
        if one is None:
            continue
        limits = bounds(one, dice)
        below = f"mean Dice, 95 % interval {limits}" if limits else "Dice of one case"
        values = ((dice.text(one.mean), below),)
        found.append((one.mean, Headline(_upper(title_of(kind.name)), "", values)))
    best = sorted(found[1:], key=lambda pair: -pair[0])
    return [headline for _, headline in (*found[:1], *best[:3])]


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _worst(study: Study, order: Sequence[str], anchors: Mapping[str, str]) -> list[Worst]:
    dice = metric_of("dice")
    return [
        Worst(case, anchors[case], f"Dice {dice.text(study.of_case(0, case, 'dice'))}")
        for case in order[:WORST]
    ]


def _curves(fold: str, log: TrainingLog) -> tuple[Chart, ...]:
    """Losses, pseudo Dice and learning rate, as far as the log has them."""
    groups = (
        ("Loss", "loss", False, {"training": "train_loss", "validation": "val_loss"}),
        (
            "Pseudo Dice",
            "pseudo Dice (higher is better)",
            True,
            {"structures, no prompt": "structures", "object, with prompts": "object"},
        ),
        ("Learning rate", "learning rate", False, {"learning rate": "learning_rate"}),
        ("Time of an epoch", "seconds", False, {"seconds": "seconds"}),
    )
    found = []
    for title, label, limits, lines in groups:
        values = {name: log.values[key] for name, key in lines.items() if key in log.values}
        if values:
            name = f"{fold}-{title.lower().replace(' ', '-')}"
            found.append(
                curves(values, name=name, title=f"{title} by epoch", label=label, limits=limits)
            )
    return tuple(found)


def _kinds(validation: Validation) -> Table:
    """A row per kind of prompt: means, and the paired difference to no prompt."""
    study, rows = validation.study, []
    metrics = [m for m in map(metric_of, METRICS) if m in study.metrics]
    dice = metric_of("dice")
    for arm, kind in enumerate(study.arms):
        cells = [mean_cell(interval(list(study.means(arm, m.key).values())), m) for m in metrics]
        pair = replace(study, arms=(study.arms[0], kind))
        gain = interval(list(pair.differences(None, "dice").values())) if arm else None
        gated = "labels only in prompted slices" if kind.name in validation.gated else ""
        more = mean_cell(gain, dice, signed=True)
        rows.append((Cell(title_of(kind.name), gated, arm), *cells, more))
    columns = ("Prompts", *(f"Mean {m.head}" for m in metrics), "Δ Dice to no prompt")
    caption = f"{len(study.cases)} cases; in small type 95 % bootstrap intervals"
    return Table(caption, columns, tuple(rows), (False, *(True for _ in columns[1:])))


def _by_kind(study: Study, key: str, anchors: Mapping[str, str]) -> Chart:
    rows = [Row(title_of(arm.name), study.means(n, key), n > 0) for n, arm in enumerate(study.arms)]
    name = f"kinds-{key}"
    return distributions(rows, metric_of(key), anchors, name=name, what="kind of prompt")


def _case_table(study: Study, order: Sequence[str], anchors: Mapping[str, str]) -> Table:
    dice, rows = metric_of("dice"), []
    for case in order:
        values = [study.of_case(arm, case, "dice") for arm in range(len(study.arms))]
        cells = [Cell(dice.text(v), sort="" if v is None else v) for v in values]
        rows.append((Cell(case, sort=case, href=f"#{anchors[case]}"), *cells))
    columns = ("Case", *(title_of(arm.name) for arm in study.arms))
    keys = tuple(anchors[case] for case in order)
    numbers = (False, *(True for _ in study.arms))
    return Table("Mean Dice of the structures", columns, tuple(rows), numbers, keys)


def _cases(
    study: Study,
    order: Sequence[str],
    anchors: Mapping[str, str],
    pictures: Mapping[str, CasePictures],
) -> list[CaseSection]:
    return [
        CaseSection(
            case, anchors[case], n, "", _scores(study, case), pictures.get(case, CasePictures())
        )
        for n, case in enumerate(order, 1)
    ]


def _scores(study: Study, case: str) -> Table:
    dice, rows = metric_of("dice"), []
    for key, name in study.structures.items():
        values = [study.values(arm, key, "dice").get(case) for arm in range(len(study.arms))]
        rows.append((Cell(name), *(Cell(dice.text(value)) for value in values)))
    columns = ("Dice", *(title_of(arm.name) for arm in study.arms))
    return Table("", columns, tuple(rows), (False, *(True for _ in study.arms)))


def _capability(model: Path) -> list[Fact]:
    """What the model's capability file states, value by value."""
    try:
        content = read_object(model / CAPABILITY_FILE, ModelError)
    except NNUNetPromptError:
        return [Fact("Prompts", "none: the folder has no prompt_capability.json")]
    found = []
    for key, value in content.items():
        if isinstance(value, dict):
            text = ", ".join(f"{name} {one}" for name, one in value.items())
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        found.append(Fact(_upper(key.replace("_", " ")), text or "none"))
    return found


def _facts(training: Training, options: ReportOptions) -> list[Fact]:
    facts = report_facts(options.command)
    try:
        return facts + model_facts(training.model)
    except NNUNetPromptError as error:
        return [*facts, Fact("Model", str(error))]
