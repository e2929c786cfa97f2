"""Validation on several devices whose shares take unequally long, with two processes on the CPU."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed as dist

from nnunet_prompt.training import validation
from tests.helpers.models import TABLE

TIMEOUT_S = 1.5  # of nnU-Net's own group; half an hour in real life
pytestmark = pytest.mark.slow


class Trainer(SimpleNamespace):
    """What `validate` asks of a trainer, apart from what is replaced below."""

    is_ddp = True
    enable_deep_supervision = True
    table = TABLE
    network = SimpleNamespace(eval=lambda: None)
    label_manager = SimpleNamespace(ignore_label=None)
    logger = SimpleNamespace(log_summary=lambda *_: None)

    def print_to_log_file(self, *args: Any, **how: Any) -> None: ...

    def set_deep_supervision_enabled(self, enabled: bool) -> None: ...


def cases(trainer: Any) -> Iterator[Any]:
    """One quick case for the first device, three slow ones for the other."""
    for number in range(1 if trainer.local_rank == 0 else 3):
        time.sleep(0.0 if trainer.local_rank == 0 else TIMEOUT_S)
        yield SimpleNamespace(
            name=f"rank{trainer.local_rank}_{number}", image=torch.zeros(1, 2, 2, 2)
        )


def rows_of(case: Any, kind: str, *_: Any) -> list[dict[str, Any]]:
    metrics = {"Dice": 0.5, "HD": 1.0, "HD95": 1.0}
    return [{"case": case.name, "kind": kind, "label": 1, "metrics": metrics}]


def device(rank: int, folder: str, port: int) -> None:
    os.environ.update(MASTER_ADDR="localhost", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2, timeout=timedelta(seconds=TIMEOUT_S))
    replaced = {
        "_cases": cases,
        "_score": rows_of,
        "_engine": lambda _: None,
        "_predict": lambda *_: None,
        "_write": lambda *_: None,
    }
    with mock.patch.multiple(validation, **replaced):
        validation.validate(Trainer(local_rank=rank, output_folder=folder))
    dist.destroy_process_group()


def test_a_device_waits_for_the_others_longer_than_nnunets_group_would(tmp_path: Path) -> None:
    from nnunetv2.run.run_training import find_free_network_port
    from torch.multiprocessing import spawn

    spawn(device, args=(str(tmp_path), find_free_network_port()), nprocs=2)
    summary = json.loads((tmp_path / "validation" / "summary.json").read_text())
    assert [row["case"] for row in summary["metric_per_case"]] == [
        "rank0_0",
        "rank1_0",
        "rank1_1",
        "rank1_2",
    ]


def test_without_a_group_the_rows_stay_as_they_are() -> None:
    rows = [{"case": "a"}]
    assert validation.gather(rows, None) is rows
