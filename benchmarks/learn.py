"""Learning a structure from a support set: the posterior hippocampus, by a network that was trained on the anterior.

    python benchmarks/learn.py ../shared/data

Of the held-out cases of that network 14 are the pool of supports, the others measure. Rows: `learn` with 1, 3, 5 and 8
cases, each kind of adapter alone for as many iterations in all, controls with wrong supports, the atlas, and full
trainings on 176 cases. A finished row is not repeated. Writes benchmarks/results/learn.md and .json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import harness
from harness import Array, HeldOut, Record
from learn_report import report
from left_out import ANTERIOR, HIPPOCAMPUS
from real import PLAIN, PROMPTED, Training, folders, prepare, train
from rich.console import Console

VALUE, OTHER = 2, 1  # of the posterior and the anterior part
POOL = 14
SHOTS = (1, 3, 5, 8)
LONGER = 3  # times as many iterations: how much is still to be gained
DRAWN = 5  # cases of the rows that compare kinds and controls
KINDS = ("decoder", "lora", "affine")


@dataclass(frozen=True, slots=True)
class Row:
    """One adapter: how it is learned, and from which support."""

    title: str
    shots: int
    draw: int
    kind: str | None = None
    support: str = "right"
    times: int = 1  # as many iterations

    @property
    def key(self) -> str:
        return f"{self.title}, k = {self.shots}, draw {self.draw}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything is: the base, the images and the label maps, and the supports and results of this benchmark."""

    base: Path
    images: Path
    labels: Path
    output: Path
    held_out: tuple[str, ...]

    @property
    def pool(self) -> tuple[str, ...]:
        return self.held_out[:POOL]

    @property
    def test(self) -> tuple[str, ...]:
        return self.held_out[POOL:]


def main() -> int:
    """Trains the base if it is missing, learns, measures, and writes the tables."""
    parser = harness.parser(__doc__, data="folder of hippocampus.tar.gz", output="out/real")
    parser.add_argument("--work", type=Path, default=Path("out/learn"), help="supports, adapters")
    parser.add_argument("--iterations", type=int, default=100, help="of the last training")
    parser.add_argument("--draws", type=int, default=2, help="supports of the rows with five")
    parser.add_argument("--minutes", type=float, default=None, help="one more row, by the clock")
    parser.add_argument("--finished", action="store_true", help="only rows of earlier runs")
    args = parser.parse_args()
    place = find(args)
    wanted = rows(args.draws)
    if args.minutes:
        wanted.append(Row(f"learn, {args.minutes:g} minutes", DRAWN, 0))
    todo: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        (row.key, partial(learned, row, place, args)) for row in wanted
    ]
    todo += [(f"atlas, k = {shots}", partial(atlas, shots, place)) for shots in SHOTS]
    measured: dict[str, Any] = {}
    for key, measure in todo:
        if not args.finished or kept(place, key).is_file():
            measured[key] = once(place, key, measure)
    results = {
        "iterations": args.iterations,
        "test": len(place.test),
        "full": full_trainings(place, args.output),
        "rows": measured,
        "missing": [key for key, _ in todo if key not in measured],
    }
    text = report(results)
    print(text)
    Record("learn").write(results, text)
    return 0


def rows(draws: int) -> list[Row]:
    """The comparisons, the most important first."""
    found = [Row("learn", DRAWN, 0), *(Row(kind, DRAWN, 0, kind) for kind in KINDS)]
    found += [Row("learn", shots, 0) for shots in SHOTS if shots != DRAWN]
    for support in ("random place", "wrong structure"):
        found.append(Row(f"learn, {support}", DRAWN, 0, support=support))
    found.append(Row(f"learn x {LONGER}", DRAWN, 0, times=LONGER))
    found.append(Row(f"decoder x {LONGER}", DRAWN, 0, "decoder", times=LONGER))
    for draw in range(1, draws):
        found += [Row("learn", DRAWN, draw), *(Row(kind, DRAWN, draw, kind) for kind in KINDS)]
    return found


def find(args: argparse.Namespace) -> Place:
    """The base and the cases that it has not seen, in a fixed random order."""
    console = Console()
    archive = args.data / f"{HIPPOCAMPUS.archive}.tar.gz"
    prepare(HIPPOCAMPUS, archive, args.output, console)
    source, target = (args.output / "source" / t.archive for t in (HIPPOCAMPUS, ANTERIOR))
    harness.label_only(source, target, name="anterior", value=OTHER)
    prepare(ANTERIOR, target.with_suffix(".tar.gz"), args.output, console)
    training = Training(ANTERIOR, PROMPTED, "short", 0, args.output)
    train(training, console)
    split = Path(folders(args.output, "short", 0)["nnUNet_preprocessed"]) / ANTERIOR.folder
    held_out = sorted(json.loads((split / "splits_final.json").read_text())[0]["val"])
    order = np.random.default_rng(4).permutation(len(held_out))
    return Place(
        base=training.fold.parent,
        images=source / "imagesTr",
        labels=source / "labelsTr",
        output=args.work,
        held_out=tuple(held_out[i] for i in order),
    )


def kept(place: Place, key: str) -> Path:
    """The file of a finished row."""
    return place.output / "rows" / f"{key.replace(' ', '_')}.json"


def once(place: Place, key: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of an earlier run of this row, or that of now."""
    path = kept(place, key)
    if not path.is_file():
        found = measure()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found))
    result: dict[str, Any] = json.loads(path.read_text())
    print(key, {k: v for k, v in result.items() if not isinstance(v, dict)}, flush=True)
    return result


def drawn(place: Place, shots: int, draw: int) -> list[str]:
    """The cases of a support; larger ones of one draw hold the smaller ones."""
    order = np.random.default_rng(10 + draw).permutation(len(place.pool))
    return [place.pool[i] for i in order[:shots]]


def learned(row: Row, place: Place, args: argparse.Namespace) -> dict[str, Any]:
    """Learns one adapter and measures it: Dice of the test cases, iterations, seconds on the clock and of the CPU."""
    from nnunet_prompt.inference.options import PredictOptions
    from nnunet_prompt.learn.options import LearnOptions
    from nnunet_prompt.learn.run import learn

    folder = write_support(row, place)
    adapter = place.output / "adapters" / f"{row.key.replace(' ', '_')}.pth"
    by_clock = "minutes" in row.title
    length = row.times * args.iterations * (2 if row.kind else 1)  # no time goes into the choice
    options = LearnOptions(
        minutes=args.minutes if by_clock else 600,
        iterations=None if by_clock else length,
        kind=row.kind,
        names=f"{VALUE}=posterior",
        seed=row.draw,
    )
    clock, cpu = time.monotonic(), time.process_time()
    made = learn(
        folder / "images",
        folder / "labels",
        model=place.base,
        output=adapter,
        options=options,
        running=PredictOptions(device="cpu", folds=(0,)),
    )
    seconds, cpu_seconds = time.monotonic() - clock, time.process_time() - cpu
    predictor = harness.predictor(place.base, folds=(0,), adapter=adapter)
    dice = scores(place, lambda case: predictor.predict_structures([case.image]) == VALUE)
    return {
        "dice": dice,
        "kind": made.kind,
        "left out": {kind: fmean(values) for kind, values in made.dice.items()},
        "iterations": made.done,
        "seconds": seconds,
        "cpu seconds": cpu_seconds,
        "bytes": adapter.stat().st_size,
    }


def write_support(row: Row, place: Place) -> Path:
    """The images and label maps of a support, with the labels that the row asks for."""
    import nibabel as nib

    folder = place.output / "supports" / row.key.replace(" ", "_")
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "labels").mkdir(exist_ok=True)
    rng = np.random.default_rng(row.draw)
    for name in drawn(place, row.shots, row.draw):
        image = folder / "images" / f"{name}_0000.nii.gz"
        if not image.is_symlink():
            image.symlink_to((place.images / image.name).resolve())
        stored: Any = nib.load(place.labels / f"{name}.nii.gz")
        mask = np.asarray(stored.dataobj) == (OTHER if row.support == "wrong structure" else VALUE)
        if row.support == "random place":
            mask = np.roll(mask, [int(rng.integers(n)) for n in mask.shape], (0, 1, 2))
        labels = (VALUE * mask).astype(np.uint8)
        nib.save(nib.Nifti1Image(labels, stored.affine), folder / "labels" / f"{name}.nii.gz")
    return folder


def atlas(shots: int, place: Place) -> dict[str, Any]:
    """The nearest aligned mask itself, and the base's answer to it as a rough mask."""
    from nnunet_prompt.io.nifti import read_label_volume, read_stored
    from nnunet_prompt.learn.atlas import AtlasCase, nearest

    cases = [
        AtlasCase(
            name,
            read_stored(place.images / f"{name}_0000.nii.gz"),
            read_label_volume(place.labels / f"{name}.nii.gz"),
        )
        for name in drawn(place, shots, 0)
    ]
    predictor = harness.predictor(place.base, folds=(0,))
    masks: dict[str, Array] = {}

    def mask(case: HeldOut) -> Array:
        masks[case.name] = nearest(cases, case.image).labels == VALUE
        return masks[case.name]

    def prompted(case: HeldOut) -> Array:
        found: Array = predictor.predict(case.image, {VALUE: masks[case.name]}) == VALUE
        return found

    return {"dice": scores(place, mask), "prompted dice": scores(place, prompted)}


def scores(place: Place, answer: Callable[[HeldOut], Array]) -> dict[str, float]:
    """The Dice of the posterior part in each test case."""
    from nnunet_prompt.evaluation.metrics import dice

    found = {}
    for name in place.test:
        case = HeldOut.read(name, place.images, place.labels)
        found[name] = float(dice(answer(case), case.masks[VALUE]))
    return found


def full_trainings(place: Place, output: Path) -> dict[str, float]:
    """The mean Dice of the posterior part in the test cases, of trainings on all cases, where they are finished."""
    found = {}
    for length in ("short", "long"):
        for side, trainer in (("plain nnU-Net", PLAIN), ("ours, no prompt", PROMPTED)):
            dice = [
                value
                for seed in (0, 1)
                for value in validated(
                    Training(HIPPOCAMPUS, trainer, length, seed, output), place.test
                )
            ]
            if dice:
                found[f"{side}, {HIPPOCAMPUS.iterations[length]} iterations"] = fmean(dice)
    return found


def validated(training: Training, cases: Sequence[str]) -> list[float]:
    """The Dice of the posterior part in these cases, of a finished validation; else none."""
    path = training.fold / "validation" / "summary.json"
    if not path.is_file():
        return []
    metrics = json.loads(path.read_text())["metric_per_case"]
    by_case = {
        m.get("case") or case_of(m["reference_file"]): m for m in metrics
    }  # ours, or nnU-Net's
    return [by_case[case]["metrics"][str(VALUE)]["Dice"] for case in cases]


def case_of(file: str) -> str:
    """The case of a label map."""
    return Path(file).name.removesuffix(".nii.gz")


if __name__ == "__main__":
    raise SystemExit(main())
