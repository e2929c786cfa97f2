"""The task vectors of a support set: which patches they are made from, and what becomes of their file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.learn.options import LearnOptions
from nnunet_prompt.learn.run import learn
from nnunet_prompt.learn.vector import windows
from nnunet_prompt.networks.adapter_file import read_adapter
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.weights.inspect import describe
from nnunet_prompt.weights.merge import merge_adapter
from tests.helpers.each import each
from tests.helpers.supports import model_with_supports
from tests.learn.conftest import write_case

pytestmark = pytest.mark.slow
ON_CPU = PredictOptions(device="cpu")


@each("patch", [(8, 12, 12), (30, 6, 40), (9, 7)])
def test_windows_hold_all_of_a_mask_and_fit_the_patch(patch: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((20, 24, 28), bool)
    mask[2:18, 3:7, 4:26] = True
    mask[tuple(rng.integers(n) for n in mask.shape)] = True
    seen = np.zeros(mask.shape, int)
    found = list(windows(mask, patch))
    for window in found:
        seen[window] += 1
        size = tuple(s.stop - s.start for s in window)
        wanted = (1,) * (3 - len(patch)) + patch
        assert size == tuple(min(n, have) for n, have in zip(wanted, mask.shape, strict=True))
    assert (seen[mask] > 0).all()
    assert len(found) <= 100  # in 2d 64 would do


def test_a_small_mask_is_seen_from_its_middle() -> None:
    mask = np.zeros((20, 24, 28), bool)
    mask[10:13, 11:14, 12:15] = True
    assert list(windows(mask, (8, 12, 12))) == [(slice(7, 15), slice(6, 18), slice(7, 19))]
    assert not list(windows(np.zeros_like(mask), (8, 12, 12)))


@each("configuration", ["3d_fullres", "2d"])
def test_a_file_is_inspected_merged_and_answers_alike(configuration: str, tmp_path: Path) -> None:
    model = model_with_supports(tmp_path / "model", configuration=configuration)
    for i in range(3):
        write_case(tmp_path, f"case_{i}", seed=i)
    made = learn(
        tmp_path / "images",
        tmp_path / "labels",
        model=model,
        output=tmp_path / "ball",
        options=LearnOptions(kind="vector", names="7=ball"),
        running=ON_CPU,
    )
    assert made.kind == "vector" and len(made.dice["vector"]) == 3
    assert describe(made.file)["method"] == "vector"
    tensors = read_adapter(made.file).tensors
    assert tensors["support.shown"].sum() == 3 and tensors["support.vectors"][:3].abs().sum() > 0
    image = tmp_path / "images" / "case_0_0000.nii.gz"

    def answer(folder: Path, adapter: Path | None = None) -> Any:
        options = PredictOptions(device="cpu", adapter=adapter)
        return PromptPredictor(folder, options).predict_structures(image)

    expected = answer(model, made.file)
    assert (expected == 7).any()
    base = model / "fold_0" / "checkpoint_final.pth"
    merge_adapter(base, made.file, tmp_path / "merged.pth")
    merged = read_checkpoint(tmp_path / "merged.pth")["network_weights"]
    assert torch.equal(merged["support.vectors"], tensors["support.vectors"])
    trunk = read_checkpoint(base)["network_weights"]
    assert all(torch.equal(t, merged[n]) for n, t in trunk.items() if n.startswith("encoder."))


def test_one_case_has_no_left_out_dice(tmp_path: Path) -> None:
    model = model_with_supports(tmp_path / "model")
    write_case(tmp_path, "case_0")
    made = learn(
        tmp_path / "images",
        tmp_path / "labels",
        model=model,
        output=tmp_path / "ball",
        options=LearnOptions(kind="vector", resume=True),
        running=ON_CPU,
    )
    assert made.dice == {} and made.structures == ("label_7",)
