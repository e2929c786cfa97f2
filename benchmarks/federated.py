"""Sites that may not share their cases: adapters trained locally, centrally, by averaging, and global + local.

    python benchmarks/federated.py ../shared/data       # or: make federated DATA=../shared/data

Hippocampus (DATA holds hippocampus.tar.gz) is divided at random among three sites of unequal size; phantom hearts come
from their three centres, which differ in contrast, noise and voxel size. All start from one base, trained on public
cases: of the hippocampus 30 that no site has, of the phantoms cases of centre A. A site is evaluated on held-out cases
of its own. Each row spends the same iterations; the sites run one after the other in this process, by the functions
that the Flower apps call. A finished step is not repeated. Writes benchmarks/results/federated.md and .json.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import harness
import numpy as np
import real
from federated_report import report
from harness import Record
from rich.console import Console

from nnunet_prompt.federated.sites import unequal_sites

TUNINGS = {"affine": "nnUNetTrainerPromptAffine", "LoRA, rank 4": "nnUNetTrainerPromptLoRA"}
ROWS = ("base", "local only", "central", "FedAvg", "global + local")
KINDS = ("none", "points in slices")
LENGTH = "short"


@dataclass(frozen=True, slots=True)
class Study:
    """One data set with several sites: training cases by site, and held-out cases of each."""

    task: real.Task
    train: Mapping[str, int] = field(hash=False)
    held_out: int
    public: int
    rounds: int
    iterations: int  # of one site in a round

    @property
    def folds(self) -> dict[str, int]:
        """nnU-Net's folds: 0 trains the base, the last one all sites together."""
        return {site: i + 1 for i, site in enumerate([*self.train, "central"])}


HIPPOCAMPUS = Study(
    real.Task("hippocampus", 806, "HippocampusSites", {LENGTH: 1200}),
    train={"large": 64, "middle": 16, "small": 4},
    held_out=8,
    public=30,
    rounds=8,
    iterations=12,
)
PHANTOMS = Study(
    real.Task("phantoms", 807, "PhantomCentres", {LENGTH: 800}),
    train={"A": 10, "B": 6, "C": 3},
    held_out=5,
    public=6,
    rounds=6,
    iterations=9,
)
STUDIES = {study.task.archive: study for study in (HIPPOCAMPUS, PHANTOMS)}


def main() -> int:
    """Runs the studies and writes their table."""
    parser = harness.parser(__doc__, data="folder with hippocampus.tar.gz", output="out/federated")
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--tunings", nargs="+", choices=TUNINGS, default=list(TUNINGS))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    console, record = Console(), Record("federated")
    results = record.earlier()
    for name in args.studies:
        study = STUDIES[name]
        prepare(study, args.data, args.output, console)
        base = real.Training(study.task, real.PROMPTED, LENGTH, args.seed, args.output)
        train_base(base, console)
        for tuning in args.tunings:
            found = run(study, tuning, base, args.seed)
            results[f"{name}, {tuning}"] = found
            text = report(results)
            record.write(results, text)
    print(report(results))
    return 0


def prepare(study: Study, data: Path, output: Path, console: Console) -> None:
    """The data set, planned, with nnU-Net's folds for base, sites and all sites together."""
    task, source = study.task, output / "source" / study.task.archive
    variables = real.folders(output, LENGTH, 0)
    folder = Path(variables["nnUNet_preprocessed"]) / task.folder
    if not (folder / f"{real.PLANS}.json").is_file():
        if study is PHANTOMS:
            each = max(study.train.values()) + study.held_out + study.public
            phantoms = ["nnunet-prompt", "phantom", "heart", "-o", str(source), "-n", str(3 * each)]
            number = str(task.dataset_id)
            convert = ["nnunet-prompt", "convert", "phantom", str(source), "-d", number]
            for command in (
                phantoms,
                [*convert, "--name", task.name],
                [*harness.PLAN_AND_PREPROCESS, number],
                ["nnunet-prompt", "plan", "-d", number, "-o", real.PLANS],
            ):
                real.run(command, variables, console)
        else:
            real.prepare(task, data / f"{task.archive}.tar.gz", output, console)
    cases = sorted(p.name.split(".")[0] for p in (folder / "gt_segmentations").glob("*.nii.gz"))
    (folder / "splits_final.json").write_text(json.dumps(splits(study, cases)))


def splits(study: Study, cases: list[str]) -> list[dict[str, list[str]]]:
    """The folds of a study. No case is in two of base, sites and held-out cases."""
    rng = np.random.default_rng(4)
    if study is PHANTOMS:  # their centres come by rotation
        centres = {
            c: [n for n in cases if (int(n[-4:]) - 1001) % 3 == i] for i, c in enumerate("ABC")
        }
        public, pools = centres["A"][: study.public], centres | {"A": centres["A"][study.public :]}
    else:
        order = [cases[i] for i in rng.permutation(len(cases))]
        public, rest = order[: study.public], order[study.public :]
        pools = unequal_sites(rest, {s: n + study.held_out for s, n in study.train.items()}, rng)
    held_out = {site: pools[site][: study.held_out] for site in study.train}
    train = {s: pools[s][study.held_out : study.held_out + n] for s, n in study.train.items()}
    few = sorted(own[0] for own in held_out.values())  # validate the base, which no table shows
    folds = [{"train": sorted(public), "val": few}]
    folds += [{"train": train[s], "val": held_out[s]} for s in train]
    all_of_them = [sorted(chain.from_iterable(x.values())) for x in (train, held_out)]
    return [*folds, {"train": all_of_them[0], "val": all_of_them[1]}]


def train_base(base: real.Training, console: Console) -> None:
    """Trains what all sites start from."""
    if not (base.fold / "checkpoint_final.pth").is_file():
        options = (
            f"{base.task.dataset_id} {real.CONFIGURATION} 0 -p {real.PLANS} -tr {base.trainer}"
        )
        command = harness.training_command(base.fold, options)
        assert command is not None
        real.run(command, base.variables(), console)


def run(study: Study, tuning: str, base: real.Training, seed: int) -> dict[str, Any]:
    """The Dice of each row, by kind of prompt and site; bytes; what the product rule lost; whether runs repeat."""
    from nnunet_prompt.federated.plan import Rounds
    from nnunet_prompt.federated.rounds import federate, private_part
    from nnunet_prompt.federated.site import Site
    from nnunet_prompt.federated.site_config import NodeConfig
    from nnunet_prompt.federated.traffic import traffic

    os.environ.update(base.variables() | {"nnUNet_prompt_seed": str(seed)})
    os.environ["nnUNet_results"] = str(base.fold.parents[3] / f"federated_{TUNINGS[tuning]}")

    def opened(name: str) -> Site:
        config = NodeConfig(
            name,
            str(study.task.dataset_id),
            base.fold / "checkpoint_final.pth",
            fold=study.folds[name],
            plans=real.PLANS,
            trainer=TUNINGS[tuning],
        )
        return Site(config, seed=seed)

    sites = {name: opened(name) for name in study.train}
    rounds, iterations = study.rounds, study.iterations
    plan = Rounds(rounds, iterations)
    both = Rounds(
        rounds, iterations // 2, private_iterations=rounds * (iterations - iterations // 2)
    )
    begin = next(iter(sites.values())).start()
    fedavg = federate(list(sites.values()), plan)
    shared = federate(list(sites.values()), both)
    short = Rounds(2, 2)
    twice = [federate(list(sites.values()), short).shared for _ in range(2)]
    central = federate([opened("central")], Rounds(rounds, iterations * len(sites))).shared
    dice: dict[str, Any] = {row: {} for row in ROWS}
    for name, site in sites.items():
        parts = {
            "base": (begin, None),
            "local only": (federate([site], plan).shared, None),
            "central": (central, None),
            "FedAvg": (fedavg.shared, None),
            "global + local": (private_part(site, shared.shared, both), shared.shared),
        }
        for row, (part, held) in parts.items():
            dice[row][name] = site_dice(site, part, held)
    weight_bytes = next(iter(sites.values())).weight_bytes
    return {
        "rounds": rounds,
        "iterations": iterations,
        "cases": dict(study.train),
        "held out": study.held_out,
        "base iterations": study.task.iterations[LENGTH],
        "dice": dice,
        "traffic": {
            s: {"rounds": t.rounds, "received": t.received, "sent": t.sent, "share": t.share}
            for s, t in traffic(fedavg.exchanges, weight_bytes=weight_bytes).items()
        },
        "weight_bytes": weight_bytes,
        "default plan share": default_share(study, tuning),
        "lost": max(fedavg.lost),
        "identical": same(*twice),
    }


def site_dice(site: Any, part: Any, held: Any) -> dict[str, float]:
    """The mean Dice over the held-out cases of a site, by kind of prompt."""
    found = site.case_dice(part, held, KINDS)
    return {k: fmean(map(fmean, found[k].values())) for k in KINDS}


def same(one: Any, other: Any) -> bool:
    """Whether two parts have the same bytes."""
    from nnunet_prompt.federated.part import pack_part

    return pack_part(one).tobytes() == pack_part(other).tobytes()


def default_share(study: Study, tuning: str) -> float:
    """What a round sends, over all weights, for nnU-Net's default plan of the same data."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    from nnunet_prompt.federated.part import pack_part
    from nnunet_prompt.federated.state import TunedState
    from nnunet_prompt.networks.network import network_of
    from nnunet_prompt.networks.tunable import make_tunable

    folder = Path(os.environ["nnUNet_preprocessed"]) / study.task.folder
    plans, described = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("nnUNetPlans", "dataset")
    )
    network = network_of(plans, real.CONFIGURATION, described)
    total = sum(p.numel() for p in network.parameters())
    setting = recursive_find_trainer_class_by_name(TUNINGS[tuning]).tuning
    make_tunable(network, setting)
    return pack_part(TunedState(network, setting).start(0)).size / total


if __name__ == "__main__":
    raise SystemExit(main())
