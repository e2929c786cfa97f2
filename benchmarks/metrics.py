"""Our metrics beside MONAI's: the time of 200 synthetic hearts of 256x256x10 with five labels, and the values.

    python -m venv /tmp/monai && /tmp/monai/bin/pip install monai
    python benchmarks/metrics.py /tmp/monai/bin/python        # --cases 10 for a short run

The argument is a Python that has MONAI, which is no dependency. We compute all that `evaluate` shows (Dice, HD, HD95,
ASSD, surface Dice at three tolerances, volumes, sensitivity, precision), MONAI computes Dice and HD95. Both take turns
case by case, each in one process with one thread, on the same core; masks are in memory, and MONAI's one-hot encoding
is not counted. Writes benchmarks/results/metrics.md and .json.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import harness
import numpy as np
from harness import Record, header, machine, row
from scipy.ndimage import gaussian_filter

from nnunet_prompt.common.log import progress
from nnunet_prompt.evaluation.measures import measure_label_maps
from nnunet_prompt.evaluation.options import Measures

SHAPE, SPACING_MM = (256, 256, 10), (1.25, 1.25, 8.0)
LABELS = (1, 2, 3, 4, 5)
MONAI = Path(__file__).with_name("metrics_monai.py")
BOUND = 0.5  # of MONAI's time


def main() -> int:
    """Runs the comparison and writes its table."""
    parser = harness.parser(__doc__)
    parser.add_argument("monai", type=Path, metavar="PYTHON", help="Python that has MONAI")
    parser.add_argument("--cases", type=int, default=200)
    args = parser.parse_args()
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    with tempfile.TemporaryDirectory() as folder:
        results = compare(args.monai, args.cases, Path(folder))
    Record("metrics").publish(results, report(results))
    return 0 if results["share"] <= BOUND else 1


def compare(python: Path, cases: int, folder: Path) -> dict[str, Any]:
    """Seconds of both over all cases, and the largest difference of a value."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [str(python), str(MONAI)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as other:
        assert other.stdin and other.stdout
        version = json.loads(other.stdout.readline())
        seconds: dict[str, list[float]] = {"ours": [], "monai": []}
        differences: dict[str, float] = {"dice": 0.0, "hd95_mm": 0.0}
        dices = []
        for seed in progress(range(cases), "compare"):
            reference, prediction = case(seed)
            theirs = asked(other, folder / "case.npz", reference, prediction)
            began = time.perf_counter()
            found = ours(reference, prediction)
            seconds["ours"].append(time.perf_counter() - began)
            seconds["monai"].append(theirs["seconds"])
            own = {m: [getattr(found[k].scores, m) for k in LABELS] for m in differences}
            for metric, values in own.items():
                gap = float(np.abs(np.subtract(values, theirs[metric])).max())
                differences[metric] = max(differences[metric], gap)
            dices += own["dice"]
        other.stdin.close()
    totals = {name: sum(each) for name, each in seconds.items()}
    return {
        "cases": cases,
        "seconds": totals,
        "share": totals["ours"] / totals["monai"],
        "largest_difference": differences,
        "dice_percentiles": [float(v) for v in np.percentile(dices, (5, 50, 95))],
        "monai_version": version,
        "machine": machine(1),
    }


def asked(other: subprocess.Popen[str], path: Path, reference: Any, prediction: Any) -> Any:
    """The answer of the other process about two label maps, which it reads from `path`."""
    assert other.stdin and other.stdout
    np.savez(path, reference=reference, prediction=prediction, spacing=SPACING_MM)
    other.stdin.write(f"{path}\n")
    other.stdin.flush()
    return json.loads(other.stdout.readline())


def ours(reference: Any, prediction: Any) -> dict[Any, Any]:
    """All metrics of a case."""
    return measure_label_maps(
        reference,
        prediction,
        spacing_mm=SPACING_MM,
        labels=LABELS,
        measures=Measures(),
        unions={},
    )


def case(seed: int) -> tuple[Any, Any]:
    """Two outlines of one synthetic heart: alike where the seed is even, rough and shifted where it is odd."""
    rng = np.random.default_rng(seed)
    rough = 0.5 if seed % 2 == 0 else 2.5
    shift = (0, 0) if seed % 2 == 0 else tuple(int(v) for v in rng.integers(-6, 7, 2))
    centre = np.array((128, 128)) + rng.integers(-20, 21, 2)
    return heart(rng, centre, 0.5), heart(rng, centre + shift, rough)


def heart(rng: np.random.Generator, centre: Any, rough: float) -> Any:
    """Ventricle 1, muscle 2, right ventricle 3, and scar 4 and edema 5 in the muscle."""
    x, y, z = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    noise = gaussian_filter(rng.standard_normal(SHAPE), (6, 6, 1))
    noise *= 1.5 * rough / noise.std()
    x, y = x - centre[0], y - centre[1]
    radius, angle = np.hypot(x, y) * (1 + 0.04 * z) + noise, np.arctan2(y, x)
    labels = np.zeros(SHAPE, np.uint8)
    labels[np.hypot(x - 50, (y + 5) / 1.5) + noise < 24] = 3
    labels[radius < 40] = 2
    labels[(radius > 28) & (radius < 38) & (angle > 1) & (angle < 2)] = 4
    labels[(radius > 28) & (radius < 38) & (angle > 2) & (angle < 2.5)] = 5
    labels[radius < 26] = 1
    labels[..., 0] = 0
    return labels


def report(results: dict[str, Any]) -> str:
    """The table, and what stands behind it."""
    seconds, difference = results["seconds"], results["largest_difference"]
    low, median, high = results["dice_percentiles"]
    shape = "x".join(map(str, SHAPE))
    lines = [
        "# Metrics beside MONAI",
        "",
        f"{results['cases']} synthetic hearts of {shape} with five labels, {SPACING_MM[0]} x {SPACING_MM[1]} x"
        f" {SPACING_MM[2]} mm; Dice {median:.2f} (5th to 95th percentile {low:.2f} to {high:.2f}).",
        f"One process and one thread each, on the same core, in turns. {results['machine']}.",
        "",
        *header("", "metrics", "seconds", "ms per case", left=(0, 1)),
    ]
    metrics = {
        "ours": "Dice, HD, HD95, ASSD, surface Dice at 1, 2 and 3 mm, volumes, sensitivity, precision",
        "monai": "Dice, HD95",
    }
    titles = {"ours": "nnunet-prompt", "monai": f"MONAI {results['monai_version']}"}
    lines += [
        row(titles[n], metrics[n], f"{s:.1f}", f"{1000 * s / results['cases']:.0f}")
        for n, s in seconds.items()
    ]
    lines += [
        "",
        f"Ours take {results['share']:.2f} of MONAI's time (at most {BOUND} is wanted). Largest difference: Dice"
        f" {difference['dice']:.1e}, HD95 {difference['hd95_mm']:.1e} mm (MONAI's values have 32 bits).",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
