"""Task vectors: structures that a network was never taught, from one to eight cases, without training.

    python benchmarks/task_vector.py

Four phantom tasks (task_vector_phantoms.py) train one network with supports; of each a structure is left out, which is
background in training. Then `nnunet-prompt learn --kind vector` is given 1, 3 and 8 cases of it, and held-out cases are
answered. Compared with the atlas (nearest of the same cases, rigidly aligned), its mask as a prompt, and controls: no
support, masks at random places, and the masks of another structure. A finished row is not repeated. Writes
benchmarks/results/task_vector.md and .json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import harness
from harness import CONFIGURATION, HeldOut, Record
from rich.console import Console
from small_data import SmallData, one_thread
from task_vector_phantoms import POOL, TASKS, TEST, Task, write, write_masks
from task_vector_report import report

DATASET, NAME = 812, "TaskVector"
FOLDER = f"Dataset{DATASET:03d}_{NAME}"
PLANS = "nnUNetPromptTaskVectorPlans"
FEATURES, PATCH, BATCH = "8,16,32", (24, 32, 32), 4
TRAINER = "nnUNetTrainerPromptTaskVector"
SHOTS = (1, 3, 8)
ASKED = 3  # supports of the controls
VALUE = 1  # of the structure in the label maps of supports and held-out cases


def main() -> int:
    """Trains and measures what is missing, and writes the tables after each row."""
    parser = harness.parser(__doc__, output="out/task_vector")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--iterations", type=int, default=5000)
    args = parser.parse_args()
    console = Console()
    prepare(args.output, console)
    measured: dict[str, Any] = {}
    for seed in args.seeds:
        fold = train(seed, args, console)
        for task in TASKS:
            path = args.output / "rows" / f"{task.left_out.replace(' ', '_')}_seed{seed}.json"
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(measure(task, fold.parent)))
            measured.setdefault(task.left_out, {})[str(seed)] = json.loads(path.read_text())
            results = {
                "iterations": args.iterations,
                "test": TEST,
                "tasks": {t.left_out: {"task": t.name, "known": list(t.known)} for t in TASKS},
                "rows": measured,
            }
            Record("task_vector").write(results, report(results))
    print(report(results))
    return 0


def prepare(output: Path, console: Console) -> None:
    """Writes, plans and preprocesses the data set; the last case of each task is for nnU-Net's validation."""

    def folds(raw: Path, cases: Sequence[str]) -> list[dict[str, list[str]]]:
        del raw
        kinds = sorted({case[:-3] for case in cases})
        last = [max(case for case in cases if case[:-3] == kind) for kind in kinds]
        return [{"train": [case for case in cases if case not in last], "val": last}]

    changes = {"patch_size": list(PATCH), "batch_size": BATCH}
    small = SmallData(DATASET, NAME, PLANS, FEATURES, changes)
    small.prepare(output, write, folds, console)


def train(seed: int, args: argparse.Namespace, console: Console) -> Path:
    """The fold of a finished training."""
    results = f"nnUNet_results_seed{seed}"
    variables = one_thread(args.output, results, iterations=args.iterations, seed=seed)
    folder = Path(variables["nnUNet_results"]) / FOLDER
    fold = folder / f"{TRAINER}__{PLANS}__{CONFIGURATION}" / "fold_0"
    harness.train(fold, f"{DATASET} {CONFIGURATION} 0 -p {PLANS} -tr {TRAINER}", variables, console)
    return fold


def measure(task: Task, model: Path) -> dict[str, Any]:
    """The mean Dice of each row for the structure that is left out of a task, and of one that is known."""
    known = task.known[0]
    with tempfile.TemporaryDirectory() as where:
        place = Place(Path(where), task, model)
        found = {"no support": place.vector([0], empty=True)}
        for shots in SHOTS:
            draws = _draws(shots)
            masks, prompted = zip(*(place.atlas(draw) for draw in draws), strict=True)
            found[f"atlas, k = {shots}"] = fmean(masks)
            found[f"atlas as prompt, k = {shots}"] = fmean(prompted)
            found[f"task vector, k = {shots}"] = fmean(place.vector(draw) for draw in draws)
        draws = _draws(ASKED)
        found["random place"] = fmean(place.vector(d, how="random") for d in draws)
        found["wrong structure"] = fmean(place.vector(d, masks=known) for d in draws)
        found["known structure"] = fmean(place.vector(d, masks=known, asked=known) for d in draws)
        found["known structure, by name"] = place.named(known)
    return {"dice": found, "known": known}


def _draws(shots: int) -> list[list[int]]:
    """Supports that share no case: all of the pool of one size, two of each at most."""
    return [list(range(a, a + shots)) for a in range(0, POOL - shots + 1, shots)][:2]


class Place:
    """A folder with the supports and the held-out cases of a task, and the predictions of a model for them."""

    def __init__(self, folder: Path, task: Task, model: Path) -> None:
        self.folder, self.task, self.model = folder, task, model
        for masks in (task.left_out, task.known[0]):
            write_masks(self.test(masks), task, "test", range(TEST), masks, "right")

    def test(self, masks: str) -> Path:
        return self.folder / f"test {masks}"

    def support(self, cases: Sequence[int], masks: str = "", how: str = "right") -> Path:
        folder = self.folder / "support"
        shutil.rmtree(folder, ignore_errors=True)
        write_masks(folder, self.task, "pool", cases, masks or self.task.left_out, how)
        return folder

    def scores(self, answer: Callable[[HeldOut], Any], asked: str = "") -> float:
        from nnunet_prompt.evaluation.metrics import dice

        folder = self.test(asked or self.task.left_out)
        names = [f"case_{n:02d}" for n in range(TEST)]
        cases = HeldOut.each(names, folder / "images", folder / "labels")
        return fmean(float(dice(answer(case), case.masks[VALUE])) for case in cases)

    def vector(
        self,
        cases: Sequence[int],
        *,
        masks: str = "",
        how: str = "right",
        asked: str = "",
        empty: bool = False,
    ) -> float:
        """The Dice of the answers to a support by `learn --kind vector`; `empty` takes all vectors away again."""
        from nnunet_prompt.inference.options import PredictOptions
        from nnunet_prompt.learn.options import LearnOptions
        from nnunet_prompt.learn.run import learn

        folder = self.support(cases, masks, how)
        made = learn(
            folder / "images",
            folder / "labels",
            model=self.model,
            output=self.folder / "vector",
            options=LearnOptions(kind="vector"),
            running=PredictOptions(device="cpu", folds=(0,)),
        )
        predictor = harness.predictor(self.model, folds=(0,), adapter=made.file)
        if empty:
            predictor.model.network.support.shown.data.zero_()
        return self.scores(lambda c: predictor.predict_structures([c.image]) == VALUE, asked)

    def named(self, structure: str) -> float:
        """The Dice of a known structure by its own head."""
        predictor = harness.predictor(self.model, folds=(0,))

        def answer(case: HeldOut) -> Any:
            return predictor.predict_structures([case.image], [structure]) > 0

        return self.scores(answer, structure)

    def atlas(self, cases: Sequence[int]) -> tuple[float, float]:
        """The Dice of the atlas, and of the network's answer to its mask as a prompt."""
        from nnunet_prompt.io.nifti import read_label_volume, read_stored
        from nnunet_prompt.learn.atlas import AtlasCase, nearest

        folder = self.support(cases)
        support = [
            AtlasCase(
                str(n),
                read_stored(folder / "images" / f"case_{n:02d}_0000.nii.gz"),
                read_label_volume(folder / "labels" / f"case_{n:02d}.nii.gz"),
            )
            for n in cases
        ]
        predictor = harness.predictor(self.model, folds=(0,))
        masks: dict[str, Any] = {}

        def mask(case: HeldOut) -> Any:
            masks[case.name] = nearest(support, case.image).labels == VALUE
            return masks[case.name]

        def prompted(case: HeldOut) -> Any:
            return predictor.predict(case.image, {VALUE: masks[case.name]}) == VALUE

        return self.scores(mask), self.scores(prompted)


if __name__ == "__main__":
    raise SystemExit(main())
