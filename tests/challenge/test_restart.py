from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.challenge.simulate import slice_prompts
from nnunet_prompt.prompt_files.prompts_json import write_prompts_json
from nnunet_prompt.prompts.frames import pls_map
from tests.challenge.folders import LPS, save

CASES, MOMENTS = 20, 50
SHAPE = (40, 48, 6)

# Imports once and then forks for each run, in a process without torch: so that 100 runs take seconds.
DRIVER = """
import os, random, signal, sys, time
from pathlib import Path
from nnunet_prompt.prompt_files.prompts_json import read_prompts_json
from nnunet_prompt.challenge.submit import SubmitOptions, run_cases
from tests.challenge.folders import BoxFiller
import scipy.ndimage
assert "torch" not in sys.modules

folder, moments = Path(sys.argv[1]), int(sys.argv[2])

def slowly(path, content):
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        time.sleep(0.004)
        file.write(content[len(content) // 2 :])

Path.write_bytes = slowly  # a slow disk, so that moments fall into the writing

def begin(output):
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        run_cases(
            BoxFiller(fails_at=3),
            read_prompts_json(folder / "prompts.json"),
            images=sorted((folder / "images").iterdir()),
            output_folder=output,
            submission=SubmitOptions(report=folder / f"{output.name}.json"),
        )
        code = 0
    finally:
        os._exit(code)

def finish(output):
    assert os.waitpid(begin(output), 0)[1] == 0, output

def content(output):
    return {p.name: (p.read_bytes(), p.stat().st_mode) for p in output.iterdir()}

finish(folder / "undisturbed")
expected, rng = content(folder / "undisturbed"), random.Random(0)
hit = halves = 0
for i in range(moments):
    output, masks = folder / f"killed_{i}", rng.randrange(len(expected))
    child = begin(output)
    for _ in range(5000):
        if len(list(output.glob("[!.]*"))) >= masks:
            break
        time.sleep(0.001)
    time.sleep(rng.uniform(0.0, 0.01))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    left = content(output) if output.exists() else {}
    hit += 0 < len(left) < len(expected)
    halves += sum(name.startswith(".partial-") for name in left)
    assert all(left[n] == expected[n] for n in left.keys() & expected.keys()), "an incomplete mask"
    finish(output)
    assert content(output) == expected, f"moment {i}"
print(len(expected), hit, halves)
"""


def write_challenge(folder: Path) -> None:
    """Twenty cases with noise, so that packing takes time; no evidence is missing that a reading could need."""
    rng = np.random.default_rng(0)
    prompts = {}
    for i in range(CASES):
        labels = np.zeros(SHAPE, np.int16)
        labels[4:20, 10:30, 1:5] = 500
        labels[22:30, 5:40, 2:4] = 2221
        image = rng.normal(0, 1, SHAPE).astype(np.float32)
        image[0, 0, 0] = i
        save(folder / "images" / f"case{i:02d}.nii.gz", image)
        prompts[f"case{i:02d}"] = slice_prompts(pls_map(LPS, SHAPE).apply(labels), rng)
    write_prompts_json(folder / "prompts.json", prompts)


def drive(folder: Path, moments: int) -> list[int]:
    write_challenge(folder)
    root = Path(__file__).parents[2]
    run: Any = subprocess.run(
        [sys.executable, "-c", DRIVER, str(folder), str(moments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert run.returncode == 0, run.stderr
    return [int(n) for n in run.stdout.split()]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and signals")
def test_a_killed_run_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    written, hit, halves = drive(tmp_path, MOMENTS)
    assert written == CASES
    assert (
        hit > 0 and halves > 0
    )  # between the first mask and the last, and into the writing of one
