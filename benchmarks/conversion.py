"""The time of a conversion, beside that of SimpleITK alone reading and writing the same files on one core.

    python benchmarks/conversion.py                     # all four tasks, a few minutes
    python benchmarks/conversion.py --tasks whs --rounds 1

Synthetic downloads in the layout and of the volume sizes of the real ones are generated with a fixed seed. Then three
commands take turns, each a fresh process with an empty target: a SimpleITK loop on one core that reads every file that
the conversion reads and writes every file that it writes; `nnunet-prompt convert TASK` on all cores; the same on one
core. Start-up and imports count on both sides. Medians over the rounds go to benchmarks/results/conversion.md and
.json. Wall times mean something on a calm machine only, so a round in which a one-core process waited for a core is
not counted and another one is tried.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import numpy as np
from harness import Array, Record, header, machine, report_earlier, row
from scipy import ndimage

SEED = 20240817
BAR = 1.25  # the wall time of conversion over that of SimpleITK may be at most this
COMMAND = "python benchmarks/conversion.py"
SIDES = ("SimpleITK, one core", "convert, all cores", "convert, one core")
CALM = 1.15  # wall time over CPU time of a process on one core, up to which nothing else has disturbed it
# SimpleITK alone: argv[1] lists the files to read, each with those to write it to
COPY = """
import json, sys
import SimpleITK as sitk
sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
for source, targets in json.load(open(sys.argv[1])):
    image = sitk.ReadImage(source)
    for target in targets:
        sitk.WriteImage(image, target)
"""


@dataclass(frozen=True, slots=True)
class Task:
    """A synthetic download: volumes of `shape` (x, y, z) and `spacing_mm` of so many patients."""

    name: str
    patients: int
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]


TASKS = (
    Task("myops", 48, (256, 256, 8), (1.4, 1.4, 10.0)),
    Task("whs", 6, (256, 256, 140), (1.0, 1.0, 1.0)),
    Task("lascarqs", 6, (576, 576, 44), (0.625, 0.625, 2.5)),
    Task("liqa", 6, (320, 320, 90), (1.2, 1.2, 2.5)),
)


@dataclass(frozen=True, slots=True)
class Run:
    """The seconds of one process, and the bytes of its images and label maps."""

    wall: float
    cpu: float
    size: int


def main() -> int:
    """Measures, prints and writes the tables."""
    parser = harness.parser(__doc__)
    names = [t.name for t in TASKS]
    parser.add_argument("--tasks", nargs="+", default=names, choices=names)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tries", type=int, default=50, help="rounds, disturbed ones included")
    args = parser.parse_args()
    record = Record("conversion")
    results = record.earlier()
    for task in (t for t in TASKS if t.name in args.tasks):
        with tempfile.TemporaryDirectory() as folder:
            results[task.name] = measure(task, Path(folder), args.rounds, args.tries)
        record.write(results, report(results))
    report_earlier(results, args.tasks)
    print(report(results))
    return 0


def measure(task: Task, folder: Path, rounds: int, tries: int) -> dict[str, Any]:
    """The medians of all sides, taking turns, and how large their files became."""
    source = folder / "source"
    files = list(write_download(task, source))
    runs: dict[str, list[Run]] = {side: [] for side in SIDES}
    for _ in range(tries):
        now = {}
        for side in SIDES:
            target = folder / "target"
            target.mkdir()
            now[side] = run(command(side, task, source, target, files), side, target)
            shutil.rmtree(target)
        calm = all(now[side].wall <= CALM * now[side].cpu for side in (SIDES[0], SIDES[2]))
        times = ", ".join(f"{side} {now[side].wall:.2f} s" for side in SIDES)
        print(f"{task.name}: {times}{'' if calm else ': disturbed, not counted'}", file=sys.stderr)
        for side in SIDES if calm else ():
            runs[side].append(now[side])
        if len(runs[SIDES[0]]) == rounds:
            break
    else:
        raise SystemExit(f"{task.name}: {rounds} calm rounds of {tries} were not to be had")
    return {
        "patients": task.patients,
        "shape": task.shape,
        "rounds": rounds,
        "cores": cores(),
        "machine": machine(cores()),
        "sides": {
            side: {
                "wall_s": statistics.median(r.wall for r in runs[side]),
                "cpu_s": statistics.median(r.cpu for r in runs[side]),
                "bytes": runs[side][-1].size,
            }
            for side in SIDES
        },
    }


def command(
    side: str, task: Task, source: Path, target: Path, files: list[tuple[Path, list[str]]]
) -> list[str]:
    """The command line of one side."""
    if side == SIDES[0]:
        listing = target / "files.json"
        listing.write_text(json.dumps([(str(p), [str(target / n) for n in ns]) for p, ns in files]))
        return [sys.executable, "-c", COPY, str(listing)]
    module = ["-m", "nnunet_prompt", "convert", task.name]
    return [sys.executable, *module, str(source), "-d", "7"]


def run(arguments: list[str], side: str, target: Path) -> Run:
    """Runs a command and measures its process with all its children."""
    workers = 1 if side == SIDES[2] else cores()
    variables = {"nnUNet_raw": str(target), "nnUNet_def_n_proc": str(workers)}
    if side == SIDES[0]:
        variables |= {"OMP_NUM_THREADS": "1"}
    before, begin = os.times(), time.perf_counter()
    done = subprocess.run(
        arguments, env=os.environ | variables, capture_output=True, text=True, check=False
    )
    wall, after = time.perf_counter() - begin, os.times()
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr}")
    user = after.children_user - before.children_user
    size = sum(p.stat().st_size for p in target.rglob("*.nii.gz"))
    return Run(wall, user + after.children_system - before.children_system, size)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def report(results: Mapping[str, Any]) -> str:
    """One table for all tasks."""
    lines = [
        "# Conversion beside SimpleITK",
        "",
        f"`{COMMAND}`: synthetic downloads of the real volume sizes (seed {SEED}). SimpleITK alone, in one process on"
        " one core, reads every file that the conversion reads and writes every file that it writes; `nnunet-prompt"
        " convert TASK` does its work (examine, check, relabel, reorient, report) on all cores, and on one. Medians of"
        " rounds in which the three take turns; seconds of whole processes, start-up included.",
        "",
        f"Ratios are over SimpleITK; the bar is a wall time of at most {BAR} with all cores.",
    ]
    machines = dict.fromkeys(r["machine"] for r in results.values())
    lines += ["", *machines, ""]
    lines += header(
        *"task|patients, volume|side|wall (s)|ratio|CPU (s)|ratio|files (MB)".split("|"),
        left=(0, 1, 2),
    )
    for task in (t for t in TASKS if t.name in results):
        result = results[task.name]
        base = result["sides"][SIDES[0]]
        volume = " x ".join(map(str, result["shape"]))
        about = f"{result['patients']}, {volume}; {result['rounds']} rounds"
        for side in SIDES:
            s = result["sides"][side]
            times = [f"{v:.2f}" for k in ("wall_s", "cpu_s") for v in (s[k], s[k] / base[k])]
            lines.append(row(task.name, about, side, *times, f"{s['bytes'] / 1e6:.1f}"))
    return "\n".join(lines) + "\n"


def write_download(task: Task, source: Path) -> Iterator[tuple[Path, list[str]]]:
    """Writes the synthetic download and yields each of its files with the names under which it goes into a data set."""
    import SimpleITK as sitk

    rng = np.random.default_rng(SEED)
    for number in range(1, task.patients + 1):
        for path, array, names in patient(task, number, rng):
            image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
            image.SetSpacing(task.spacing_mm)
            if number % 2:  # every other patient is stored the other way around in the plane
                image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(image, str(source / path), useCompression=True)
            yield source / path, [f"{n}.nii.gz" for n in names]


def patient(
    task: Task, number: int, rng: np.random.Generator
) -> Iterator[tuple[str, Array, list[str]]]:
    """The files of a patient: path, voxels (x, y, z), and the names of the files that they become."""
    anatomy = rng.normal(size=[max(2, n // 16) for n in task.shape])
    if task.name == "myops":
        folder = f"MyoPS_train/CenterB/Case2{number:03d}/Case2{number:03d}"
        for sequence in ("C0", "LGE", "T2"):
            image = magnitude(anatomy, task.shape, rng)
            yield f"{folder}_{sequence}.nii.gz", image, [f"{number}_{sequence}_0000"]
        values = {500: 1.0, 200: 1.4, 600: 0.8, 2221: 0.3, 1220: 0.35}
        written = [f"{number}_{sequence}" for sequence in ("C0", "LGE", "T2")]
        yield f"{folder}_gd.nii.gz", balls(task.shape, values, np.int16), written
    elif task.name == "whs":
        folder = f"A ct_train/Case1{number:03d}"
        image = hounsfield(anatomy, task.shape, rng)
        yield f"{folder}_image.nii.gz", image, [f"{number}_0000"]
        values = dict.fromkeys((500, 600, 420, 550, 205, 820, 850), 1.0)
        yield f"{folder}_label.nii.gz", balls(task.shape, values, np.uint16), [f"{number}"]
    elif task.name == "lascarqs":
        folder = f"task1/train_data/train_{number}"
        yield f"{folder}/enhanced.nii.gz", magnitude(anatomy, task.shape, rng), [f"{number}_0000"]
        yield (
            f"{folder}/atriumSegImgMO.nii.gz",
            balls(task.shape, {420: 2.0}, np.uint16),
            [f"{number}"],
        )
        yield f"{folder}/scarSegImgM.nii.gz", balls(task.shape, {1: 0.4}, np.uint8), []
    else:
        folder = f"Vendor_A/{1000 + number}-A-S2"
        yield f"{folder}/GED4.nii.gz", magnitude(anatomy, task.shape, rng), [f"{number}_0000"]
        yield f"{folder}/mask_GED4.nii.gz", balls(task.shape, {1: 4.0}, np.uint8), [f"{number}"]


def magnitude(anatomy: Array, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """An MR image: smooth tissue in a body, with Rician noise everywhere, as int16."""
    signal = (400 + 120 * smooth(anatomy, shape)) * (distance(shape) < 1)
    real, imaginary = rng.normal(0, 15, (2, *shape)).astype(np.float32)
    return np.hypot(signal + real, imaginary).astype(np.int16)


def hounsfield(anatomy: Array, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """A CT image: smooth tissue, noise, and -1024 outside of the field of view, as int16."""
    inside = distance(shape) < 1.1
    image = 60 + 150 * smooth(anatomy, shape) + rng.normal(0, 25, shape).astype(np.float32)
    return np.where(inside, image, -1024).astype(np.int16)


def balls(shape: tuple[int, ...], sizes: Mapping[int, float], dtype: Any) -> Array:
    """A label map with a ball per value, each in a place of its own; sizes are relative."""
    labels = np.zeros(shape, dtype)
    for k, (value, size) in enumerate(sizes.items()):
        angle = 2 * np.pi * k / len(sizes)
        away = 0.0 if len(sizes) == 1 else 0.45
        centre = (away * np.cos(angle), away * np.sin(angle))
        labels[distance(shape, centre) < 0.15 * size ** (1 / 3)] = value
    return labels


def distance(shape: tuple[int, ...], centre: tuple[float, float] = (0.0, 0.0)) -> Array:
    """The distance of each voxel from a place in the middle slice, 1 at the border of the plane."""
    x, y, z = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    squares = (x - centre[0])[:, None, None] ** 2 + (y - centre[1])[:, None] ** 2 + (0.5 * z) ** 2
    return np.sqrt(squares)


def smooth(anatomy: Array, shape: tuple[int, ...]) -> Array:
    zoom = [n / m for n, m in zip(shape, anatomy.shape, strict=True)]
    return np.asarray(ndimage.zoom(anatomy.astype(np.float32), zoom, order=1))


if __name__ == "__main__":
    sys.exit(main())
