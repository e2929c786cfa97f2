"""The batch that a device runs fastest."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from nnunet_prompt.sliding_window import batch_size
from nnunet_prompt.sliding_window.batch_size import fastest_batch
from tests.helpers.each import each

META = torch.device("meta")
# seconds by size of the batch, and what is chosen
TIMES = [
    ({1: 1.0, 2: 1.1, 4: 1.8, 8: 4.0}, 4),
    ({1: 1.0, 2: 2.0}, 1),
    ({1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0, 16: 1.0}, 16),
]


@each(("times", "expected"), TIMES)
def test_the_fastest_per_tile(
    times: dict[int, float], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def seconds(size: int, *_: Any) -> float:
        asked.append(size)
        return times[size]

    monkeypatch.setattr(batch_size, "_seconds", seconds)
    network = nn.Identity()
    for _ in range(2):  # the second time it is known
        assert fastest_batch(network, (1, 4, 4, 4), META, network) == expected
    assert asked == list(times)
    assert fastest_batch(network, (1, 8, 4, 4), META, network) == expected
    assert len(asked) == 2 * len(times)  # another tile


def test_out_of_memory_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(size: int, *_: Any) -> float:
        if size > 2:
            raise RuntimeError("CUDA out of memory")
        return 1.0

    monkeypatch.setattr(batch_size, "_seconds", seconds)
    assert fastest_batch(nn.Identity(), (1, 4, 4, 4), META, nn.Identity()) == 2


def test_one_on_the_cpu() -> None:
    assert fastest_batch(nn.Identity(), (1, 4), torch.device("cpu"), nn.Identity()) == 1


def test_really_measured() -> None:
    assert fastest_batch(nn.Identity(), (1, 4, 4), META, nn.Identity()) >= 1
