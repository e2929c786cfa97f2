"""A challenge folder of small cases, and a stand-in for the network that fills boxes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from nnunet_prompt.challenge.budget import Budget
from nnunet_prompt.challenge.case_run import Trouble
from nnunet_prompt.challenge.simulate import SimulateOptions, simulate_prompts_json
from nnunet_prompt.challenge.submit import SubmitOptions, run_cases
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompt_files.prompts_json import read_prompts_json
from nnunet_prompt.prompt_files.prompts_json_convention import GivenConvention
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.types import CasePrompts
from tests.helpers.models import TABLE

SHAPE = (4, 6, 5)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
PLAIN = SubmitOptions(convention=GivenConvention("xy", 0, False))  # nothing to settle


class NeverRun:
    """A network that is watched, and never asked."""

    def register_forward_pre_hook(self, hook: Any) -> Any:
        del hook
        return SimpleNamespace(remove=lambda: None)


# What submit looks at of an engine. As `idle_engine`, but without torch, which a test that forks must not import.
IDLE_ENGINE = SimpleNamespace(
    network=NeverRun(), max_batch=1, device=SimpleNamespace(type="cpu"), mirror_axes=()
)


class BoxFiller:
    """Predicts filled boxes on the file grid, and says too much: `stray` in every voxel of the rest."""

    table = TABLE
    engine: Any = IDLE_ENGINE

    def __init__(self, n_image_channels: int = 1, fails_at: float | None = None, stray: int = 9):
        self.n_image_channels = n_image_channels
        self.fails_at = fails_at
        self.stray = stray
        self.calls: list[tuple[list[str], CasePrompts]] = []

    def predict_prompts(
        self, images: Sequence[NiftiVolume], prompts: CasePrompts
    ) -> npt.NDArray[Any]:
        self.calls.append(([v.path.name for v in images], prompts))
        first = images[0]
        if first.array.flat[0] == self.fails_at:
            raise RuntimeError("shapes do not match\nat line 3")
        labels = np.full(first.shape, self.stray)
        back = pls_map(first.affine, first.shape).inverse()
        for label, one in prompts.labels.items():
            for box in back.prompts(one).boxes:
                inside = [slice(int(a), int(b)) for a, b in zip(box.lower, box.upper, strict=True)]
                labels[tuple(inside)] = label
        return labels

    def object_logits(self, images: Any, prompts: Any) -> Any:
        raise NotImplementedError

    def predict_structures(self, images: Any, wanted: Any = ()) -> Any:
        raise NotImplementedError


def bricks() -> npt.NDArray[np.int16]:
    """Two labels that fill their boxes in every slice of every axis; the last slices are empty."""
    labels = np.zeros(SHAPE, np.int16)
    labels[0:2, 1:3, 1:4] = 500
    labels[2:3, 3:5, 0:4] = 2221
    return labels


def save(path: Path, array: npt.NDArray[Any], affine: Any = LPS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


class Challenge:
    """INPUT, OUTPUT and hidden labels below a folder; the image of case i is filled with i."""

    def __init__(self, folder: Path, cases: Sequence[str], **options: Any) -> None:
        self.images, self.output = folder / "input" / "images", folder / "output"
        self.json = folder / "input" / "prompts.json"
        for i, case in enumerate(cases):
            save(folder / "labels" / f"{case}.nii.gz", bricks())
            save(self.images / f"{case}.nii.gz", np.full(SHAPE, i, np.float32))
        simulate_prompts_json(folder / "labels", self.json, options=SimulateOptions(**options))

    def edit(self, change: Any) -> None:
        content = json.loads(self.json.read_text())
        change(content)
        self.json.write_text(json.dumps(content))

    def run(
        self, predictor: Any = None, *, budget: Budget | None = None, **changes: Any
    ) -> list[Trouble]:
        return run_cases(
            predictor or BoxFiller(),
            read_prompts_json(self.json),
            images=sorted(self.images.iterdir()),
            output_folder=self.output,
            submission=replace(PLAIN, **changes),
            budget=budget,
        )

    def written(self) -> dict[str, Any]:
        return {p.name: np.asarray(nib.load(p).dataobj) for p in sorted(self.output.iterdir())}
