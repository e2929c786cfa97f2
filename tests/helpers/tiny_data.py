"""A tiny data set, planned by nnU-Net, and tiny models trained on it; each is made once per test run.

Six cases in the reader frame (D, H, W), 16 x 24 x 20 voxels of 4 x 1.5 x 1.25 mm, with a border of zeros that nnU-Net
crops away; one of them has thicker slices, so that it is resampled. Structures: two bright balls side by side and a
core inside the second. `tiny_01` and `tiny_04` annotate the first ball only.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.data.case import Case
from nnunet_prompt.data.plans import ReduceOptions, reduce_plans
from nnunet_prompt.data.raw import RawTarget, write_raw_dataset
from nnunet_prompt.training.external_trainers import environment
from tests.helpers.models import PLANS, SPACING, TABLE

SHAPE = (16, 24, 20)
PARTLY_ANNOTATED = ("tiny_01", "tiny_04")
TRAINED_FOR = 200  # iterations
NAMES = tuple(f"tiny_{i:02d}" for i in range(6))


@dataclass(frozen=True, slots=True)
class TinyData:
    """Where nnU-Net's three folders are, and the data set in them."""

    root: Path
    dataset: str

    @property
    def variables(self) -> dict[str, str]:
        """The environment of nnU-Net: no worker processes, no compilation, our trainers."""
        folders = {f"nnUNet_{n}": str(self.root / n) for n in ("raw", "preprocessed", "results")}
        settings = {"nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "0", "nnUNet_compile": "f"}
        return {**folders, **settings, **environment({})}

    @property
    def raw(self) -> Path:
        return self.root / "raw" / self.dataset

    @property
    def preprocessed(self) -> Path:
        return self.root / "preprocessed" / self.dataset

    def model(self, trainer: str, configuration: str) -> Path:
        """The model folder of a trainer."""
        return self.root / "results" / self.dataset / f"{trainer}__{PLANS}__{configuration}"

    def dataset_json(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.preprocessed / "dataset.json").read_text())
        return content

    def plans(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.preprocessed / f"{PLANS}.json").read_text())
        return content


def affine(spacing: tuple[float, float, float] = SPACING) -> npt.NDArray[np.float64]:
    """RAS+ affine of an array whose axes grow to S, P, L: the canonical reader frame."""
    matrix = np.zeros((4, 4))
    matrix[2, 0], matrix[1, 1], matrix[0, 2], matrix[3, 3] = spacing[0], -spacing[1], -spacing[2], 1
    matrix[:3, 3] = (30.0, -20.0, 10.0)
    return matrix


def tiny_case(
    index: int, shape: tuple[int, int, int] = SHAPE
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Image and label map (D, H, W) of case `index`; the image is zero on a border of 1, 3 and 2 voxels."""
    rng = np.random.default_rng(index)
    d, h, w = np.ogrid[tuple(slice(n) for n in shape)]
    middle = np.array(shape) / 2 + rng.uniform(-1, 1, 3)

    def ball(x: float, radius: float) -> npt.NDArray[np.bool_]:
        distance = ((d - middle[0]) / 1.5) ** 2 + (h - middle[1]) ** 2 + (w - x) ** 2
        return np.asarray(distance <= radius**2)

    labels = np.zeros(shape, np.int32)
    labels[ball(6, 3.2)] = 1
    labels[ball(13, 3.6)] = 2
    labels[ball(13, 1.8)] = 3
    image = 100 + 100 * labels + rng.normal(0, 8, shape)
    inside = np.zeros(shape, bool)
    inside[1:-1, 3:-3, 2:-2] = True
    return np.where(inside, image, 0).astype(np.float32), labels


def tiny_cases(*, ignore: bool = False) -> Iterator[Case]:
    """The six cases; with `ignore`, the lowest quarter of each label map holds the ignore label 4."""
    for index, name in enumerate(NAMES):
        image, labels = tiny_case(index)
        partly = name in PARTLY_ANNOTATED
        if partly:
            labels[labels > 1] = 0
        if ignore:
            labels[:4] = 4
        spacing = (5.0, 1.5, 1.25) if index == 5 else SPACING
        yield Case(
            name,
            (image,),
            labels,
            annotated=frozenset({"ball"}) if partly else None,
            affine=affine(spacing),
            patient=f"patient-of-{name}",
        )


@contextlib.contextmanager
def nnunet_environment(variables: dict[str, str]) -> Iterator[None]:
    """nnU-Net's variables, and its pools as threads of this process; nnU-Net's own warnings are not ours."""
    threads = SimpleNamespace(Pool=ThreadPool)
    with mock.patch.dict(os.environ, variables), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with mock.patch("multiprocessing.get_context", lambda *_: threads):
            yield


@contextlib.contextmanager
def nnunet_variables(variables: dict[str, str]) -> Iterator[None]:
    """nnU-Net's variables, and silence from its own warnings; processes are processes."""
    with mock.patch.dict(os.environ, variables), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def make_tiny_data(root: Path, *, dataset_id: int = 501, ignore: bool = False) -> TinyData:
    """Writes, plans and preprocesses the data set and reduces its plans. Slow: seconds."""
    target = RawTarget(dataset_id, "Tiny", root=root / "raw", ignore_label=ignore)
    folder = write_raw_dataset(tiny_cases(ignore=ignore), target, table=TABLE)
    data = TinyData(root, folder.name)
    # planning asks for half the workers of nnUNet_n_proc_DA and cannot do with none
    with nnunet_environment({**data.variables, "nnUNet_n_proc_DA": "1"}):
        from nnunetv2.experiment_planning import plan_and_preprocess_api as api

        api.extract_fingerprints([dataset_id], num_processes=1, show_progress_bar=False)
        api.plan_experiments([dataset_id])
        options = ReduceOptions(name=PLANS, features=(8, 12, 16), batch_size=4, max_voxels=1600)
        reduce_plans(dataset_id, options=options)
        configurations = ("2d", "3d_fullres")
        api.preprocess([dataset_id], PLANS, configurations, (1,), show_progress_bar=False)
    splits = [{"train": list(NAMES[:4]), "val": list(NAMES[4:])}]
    (data.preprocessed / "splits_final.json").write_text(json.dumps(splits))
    return data


def once(factory: pytest.TempPathFactory, name: str) -> tuple[Path, bool]:
    """A folder shared by all test modules of a run, and whether it has still to be filled."""
    folder = factory.getbasetemp() / name
    new = not (folder / "done").exists()
    if new:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    return folder, new


def tiny_data(factory: pytest.TempPathFactory, *, ignore: bool = False) -> TinyData:
    """The planned data set; with `ignore`, the one that has an ignore label."""
    folder, new = once(factory, "tiny-ignore" if ignore else "tiny")
    if new:
        make_tiny_data(folder, ignore=ignore)
        (folder / "done").touch()
    return TinyData(folder, "Dataset501_Tiny")


def train(
    data: TinyData, configuration: str, *, trainer: str, iterations: int, **options: Any
) -> Any:
    """Trains fold 0 on the CPU through nnU-Net's own `run_training`; `options` are passed on to it."""
    variables = {
        **data.variables,
        "nnUNet_prompt_iterations": str(iterations),
        "nnUNet_prompt_seed": "3",
    }
    with nnunet_environment(variables):
        import torch
        from nnunetv2.run.run_training import run_training

        run_training(
            data.dataset,
            configuration,
            0,
            trainer_class_name=trainer,
            plans_identifier=PLANS,
            device=torch.device("cpu"),
            **options,
        )


def trained(factory: pytest.TempPathFactory, configuration: str) -> tuple[TinyData, Path]:
    """The data set and the model folder of a short demo training of a configuration."""
    data = tiny_data(factory)
    model = data.model("nnUNetTrainerPromptDemo", configuration)
    if not (model / "fold_0" / "validation" / "summary.json").exists():
        train(data, configuration, trainer="nnUNetTrainerPromptDemo", iterations=TRAINED_FOR)
    return data, model
