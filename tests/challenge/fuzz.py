"""A challenge folder of two small cases, a predictor that says too much, and a watch over how long it takes."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.challenge.submit import SubmitOptions, submit
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompts.types import CasePrompts
from tests.helpers.predictors import TABLE, idle_engine

SHAPE = (6, 4, 3)
LPS = np.diag([-1.0, -1.5, 4.0, 1.0])
SECONDS = 5  # of a processor
IMAGE = np.random.default_rng(0).integers(1, 200, SHAPE).astype(np.int16)
STRAY = 9  # a label id that no prompt names
PROMPTS: dict[str, Any] = {
    "a": {
        "0": None,
        "1": {"500": [[1, 2, 3, 5], [[1, 2], [2, 4]]], "2221": [[0, 0, 2, 2], []]},
        "2": {"500": [None, [[3, 3]]]},
    },
    "b": {"0": {"20": [[0, 1, 4, 6], [[1, 1], [2, 2], [3, 3], [0, 5], [1, 4]]]}, "1": None, "2": None},
}  # fmt: skip


class Hang(BaseException):
    """What takes too long is stopped by this, and nobody catches it."""


@contextmanager
def watched(seconds: float = SECONDS, waiting: float = 900) -> Iterator[None]:
    """Stops with `Hang` what takes more than `seconds` of this process, or waits longer than a busy machine lets it."""

    def stop(*_: Any) -> None:
        raise Hang

    before = [signal.signal(s, stop) for s in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, waiting)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for one, handler in zip((signal.SIGPROF, signal.SIGALRM), before, strict=True):
            signal.signal(one, handler)


class Babbler:
    """Predicts, whatever it is asked, every label of the prompts and a stray one."""

    n_image_channels = 1
    table = TABLE
    engine = idle_engine()

    @classmethod
    def from_folder(cls, model: Path, options: Any) -> Babbler:
        return cls()

    def predict_prompts(
        self, images: Sequence[NiftiVolume], prompts: CasePrompts
    ) -> npt.NDArray[Any]:
        assert np.isfinite(images[0].array).all() and np.isfinite(images[0].affine).all()
        values = [*sorted(prompts.labels), STRAY]
        return np.random.default_rng(0).choice(np.array(values, np.int32), images[0].shape)

    def predict_structures(
        self, images: Sequence[NiftiVolume], wanted: Sequence[str] = ()
    ) -> npt.NDArray[Any]:
        return np.full(images[0].shape, STRAY, np.int32)


def use_babbler(patch: pytest.MonkeyPatch) -> None:
    """Puts it in the place of the predictor that `submit` loads."""
    module = ModuleType("predictor")
    module.PromptPredictor = Babbler  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "nnunet_prompt.inference.predictor", module)


def save(path: Path, array: Any = IMAGE, affine: Any = LPS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(np.asarray(array), affine).to_filename(path)
    return path


def write_input(folder: Path, prompts: Mapping[str, Any] = PROMPTS, cases: str = "ab") -> Path:
    """INPUT with one image per letter of `cases`."""
    for case in cases:
        save(folder / "images" / f"{case}.nii.gz")
    (folder / "prompts.json").write_text(json.dumps(prompts))
    return folder


def answer(input_folder: Path, output: Path) -> tuple[dict[str, npt.NDArray[Any]], str]:
    """What `submit` writes, by the names of the files, and what it says at the end (nothing, if all have a mask)."""
    said = ""
    try:
        submit(
            input_folder,
            output,
            model=input_folder,
            options=PredictOptions(device="cpu"),
            submission=SubmitOptions(overwrite=True),
        )
    except NNUNetPromptError as error:
        said = str(error)
        assert "\n" not in said
    files = sorted(output.iterdir()) if output.is_dir() else []
    with np.errstate(all="ignore"):  # headers keep what was wrong with them
        return {p.name: np.asarray(nib.load(p).dataobj) for p in files}, said


def in_little_memory(folder: Path, gigabytes: float) -> list[str]:
    """Answers the input below a folder in a process that may take so much more than its libraries; names of masks."""
    write_input(folder / "warm" / "input")
    code = f"from tests.challenge.fuzz import answer_within; answer_within({str(folder)!r}, {gigabytes})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr[-2000:]
    return done.stdout.split()


def answer_within(folder: str, gigabytes: float) -> None:
    """What `in_little_memory` runs: the libraries are loaded first, then the limit is set."""
    use_babbler(pytest.MonkeyPatch())
    warm = Path(folder) / "warm"
    answer(warm / "input", warm / "output")
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with watched(60):
        masks, _ = answer(Path(folder) / "input", Path(folder) / "output")
    print(*masks)
