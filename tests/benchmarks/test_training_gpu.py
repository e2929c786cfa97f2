"""The benchmark of training on a GPU: its measures on a trainer that takes known times, and its table."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="only in a checkout"),
]


@pytest.fixture
def training_gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("training_gpu", "training_step", "harness"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("training_gpu")


def test_batches_are_weighed_with_all_their_targets(training_gpu: Any) -> None:
    batch = {
        "data": torch.zeros(2, 8, 4, 4),
        "target": [torch.zeros(2, 1, 4, 4, dtype=torch.int16), torch.zeros(2, 1, 2, 2)],
        "keys": ["case_0", "case_1"],
    }
    assert training_gpu.batch_bytes(batch) == 2 * 8 * 16 * 4 + 2 * 16 * 2 + 2 * 4 * 4


def test_waiting_and_steps_are_counted_apart(training_gpu: Any, monkeypatch: Any) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(training_gpu.time, "perf_counter", lambda: clock.now)
    ended: list[bool] = []

    def batches() -> Any:
        while True:
            clock.now += 0.5
            yield {"data": torch.zeros(2, 1, 4)}

    def step(batch: Any) -> None:
        clock.now += 1.5

    trainer = SimpleNamespace(
        dataloader_train=batches(),
        train_step=step,
        batch_size=2,
        configuration_manager=SimpleNamespace(patch_size=(4,)),
        on_train_end=lambda: ended.append(True),
    )
    found = training_gpu.measured(trainer, 10, torch.device("cpu"))
    assert found["wait"] == pytest.approx(0.5) and found["step"] == pytest.approx(1.5)
    assert found["images_per_second"] == pytest.approx(1.0) and found["batch_bytes"] == 32
    assert found["busy"] is None and ended == [True]
    both = {training_gpu.STOCK: found, training_gpu.OURS: found | {"busy": 0.5, "memory": 2e9}}
    text = training_gpu.report({"machine": "two cores", "device": "CPU", "sides": both})
    assert "| ours | 1.00 | 1.500 | 0.500 | 50% | 2.0 | 0 |" in text and "patch 4, batch 2" in text
