"""Drift without labels: how often looks at changed phantom hearts raise an alarm, and how often looks at the same do.

    python benchmarks/drift.py                  # or: make drift

Predicts hearts of the demo's centre A with the demo's model: a reference, others like it, and some with another
contrast, noise, spacing or anatomy. Batches are drawn with replacement from the predictions of a condition and compared
with the reference as `nnunet-prompt drift` does. A case that has its rows is not predicted again. Writes
benchmarks/results/drift.md and .json.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import harness
from drift_report import report
from harness import Record
from rich.console import Console

from nnunet_prompt.cli.demo.demo import CONFIGURATION, DATASET, PLANS, TRAINER
from nnunet_prompt.common.log import progress
from nnunet_prompt.evaluation.drift.compare import EVERY, DriftOptions, compare
from nnunet_prompt.evaluation.drift.table import Monitored, read_monitored
from nnunet_prompt.phantom import heart
from nnunet_prompt.phantom.anatomy import Anatomy
from nnunet_prompt.phantom.record import save_volume
from nnunet_prompt.phantom.scanner import Site, Volume

CENTRE, UNCHANGED = "A", "unchanged"
SEED = 8  # of the hearts; those of 7 are the ones on which the test and its features were chosen
BATCH, BATCHES, SPLITS = 20, 100, 5
STRICT = 0.05  # alpha with permutations for all levels of the table


@dataclass(frozen=True, slots=True)
class Condition:
    """How the hearts of a condition differ from those of the centre, in words and in the phantom."""

    words: str
    site: Callable[[Site], Site] = lambda site: site
    anatomy: Callable[[Anatomy], Anatomy] = lambda anatomy: anatomy


def _contrast(site: Site) -> Site:
    signals = {"blood": 0.70, "myocardium": 0.35, "scar": 0.80, "fat": 0.80, "liver": 0.40}
    return replace(site, contrast=heart._contrast(**signals))


CONDITIONS = {
    UNCHANGED: Condition("other hearts of the same centre"),
    "contrast": Condition(
        "signals of blood 0.70 (was 0.62), muscle 0.35 (0.22), scar 0.80 (0.92)", _contrast
    ),
    "noise": Condition(
        "noise 0.09 (was 0.045) of a bright tissue's signal", lambda site: replace(site, noise=0.09)
    ),
    "spacing": Condition(
        "voxels of 1.7 to 1.9 x 10 mm (were 1.35 to 1.5 x 8)",
        lambda site: replace(site, in_plane_mm=(1.7, 1.9), slice_mm=(10.0, 10.0)),
    ),
    "anatomy": Condition(
        "left ventricle 1.15 times as wide, wall 0.85 times as thick",
        anatomy=lambda a: replace(a, endo_mm=1.15 * a.endo_mm, wall_mm=0.85 * a.wall_mm),
    ),
}


def main() -> int:
    """Trains the demo's model if none is given, predicts what has no rows, looks, and writes the tables."""
    parser = harness.parser(__doc__, output="out/drift")
    parser.add_argument("--model", type=Path, help="model folder of a demo (default: make one)")
    parser.add_argument("--cases", type=int, default=60, help="of each changed condition")
    parser.add_argument("--unchanged", type=int, default=200, help="half of them the reference")
    args = parser.parse_args()
    console = Console()
    model = args.model or demo_model(args.output / "demo", console)
    tables = {}
    for name in CONDITIONS:
        count = args.unchanged if name == UNCHANGED else args.cases
        tables[name] = predicted(name, count, args.output, model, console)
    results = measure(tables, SPLITS)
    Record("drift").publish(results, report(results, {n: c.words for n, c in CONDITIONS.items()}))
    return 0


def demo_model(folder: Path, console: Console) -> Path:
    """The model that the demo trains; a finished demo is not run again."""
    harness.run(["nnunet-prompt", "demo", "-o", str(folder)], {}, console)
    return folder / "nnUNet_results" / DATASET / f"{TRAINER}__{PLANS}__{CONFIGURATION}"


def predicted(name: str, count: int, output: Path, model: Path, console: Console) -> Monitored:
    """The monitored table of a condition, after its missing cases were generated and predicted."""
    table = output / f"{name}.csv"
    wanted = [f"{name}_{k:03d}" for k in range(count)]
    known = set(read_monitored(table).cases) if table.is_file() else set()
    missing = [k for k, case in enumerate(wanted) if case not in known]
    if missing:
        images, masks = (output / part / name for part in ("images", "masks"))
        images.mkdir(parents=True, exist_ok=True)
        files = {images / f"{wanted[k]}.nii.gz": k for k in missing}
        for path in set(images.iterdir()) - set(files):
            path.unlink()
        for path in progress([f for f in files if not f.is_file()], f"phantoms ({name})"):
            save_volume(path, phantom(name, files[path]))
        command = [
            "nnunet-prompt",
            "predict",
            "-i",
            str(images),
            "-o",
            str(masks),
            "-m",
            str(model),
        ]
        command += ["-device", "cpu", "--disable_tta", "-step_size", "1", "--monitor", str(table)]
        harness.run(command, {}, console)
    found = read_monitored(table)
    return picked(found, [found.cases.index(case) for case in wanted])


def phantom(name: str, number: int) -> Volume:
    """Heart `number` of a condition; it does not depend on how many there are."""
    condition = CONDITIONS[name]
    draw = heart.draw_anatomy

    def changed(rng: np.random.Generator, *, depth_mm: float) -> Anatomy:
        return condition.anatomy(draw(rng, depth_mm=depth_mm))

    centres = {CENTRE: condition.site(heart.CENTRES[CENTRE])}
    rng = np.random.default_rng([SEED, list(CONDITIONS).index(name), number])
    with mock.patch.multiple(heart, CENTRES=centres, draw_anatomy=changed):
        case = heart.phantom_case(rng, centre=CENTRE)
    return Volume(case.image, case.affine)


def picked(table: Monitored, index: list[int]) -> Monitored:
    """Some cases of a table; one that is named twice counts once, as in a table that is read."""
    index = list(dict.fromkeys(index))
    cases = tuple(table.cases[k] for k in index)
    return Monitored(cases, table.features, table.values[index], {})


def measure(tables: Mapping[str, Monitored], splits: int) -> dict[str, Any]:
    """The p of each look by condition, a list for each split of the unchanged cases into reference and new ones."""
    unchanged = tables[UNCHANGED]
    found: dict[str, list[list[float]]] = {name: [] for name in tables}
    distinct = []
    for split in progress(range(splits), "splits"):
        rng = np.random.default_rng([11, split])
        order = rng.permutation(len(unchanged.cases)).tolist()
        half = len(order) // 2
        reference = picked(unchanged, order[:half])
        for name, table in tables.items():
            new = picked(table, order[half:]) if name == UNCHANGED else table
            looks = []
            for _ in range(BATCHES):
                batch = picked(new, rng.integers(0, len(new.cases), BATCH).tolist())
                distinct.append(len(batch.cases))
                looks.append(p_of(reference, batch))
            found[name].append(looks)
    return {
        "cases": {name: len(table.cases) for name, table in tables.items()},
        "reference": len(unchanged.cases) // 2,
        "batch": BATCH,
        "distinct": float(np.mean(distinct)),
        "default level": DriftOptions().level,
        "p": found,
    }


def p_of(reference: Monitored, batch: Monitored) -> float:
    """What the verb finds for a batch."""
    (look,) = compare(reference, batch, DriftOptions(batch=BATCH, alpha=STRICT))["sites"][EVERY][
        "looks"
    ]
    return float(look["p"])


if __name__ == "__main__":
    sys.exit(main())
