"""The log tells structures without prompts from the object with prompts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nnunetv2.training.logging.nnunet_logger import LocalLogger

from nnunet_prompt.training.logger import (
    OBJECT,
    OBJECT_EMA,
    PromptLogger,
    is_best_object,
    log_object,
)


def logged(*counts: tuple[int, int, int]) -> PromptLogger:
    logger = PromptLogger()
    for epoch, one in enumerate(counts):
        log_object(logger, np.array(one), epoch)
    return logger


def test_the_moving_average_is_nnunets() -> None:
    logger = logged((1, 1, 1), (3, 1, 1))
    assert logger.get_value(OBJECT, None) == [0.5, 0.75]
    assert logger.get_value(OBJECT_EMA, None) == [0.5, pytest.approx(0.9 * 0.5 + 0.1 * 0.75)]


def test_an_epoch_without_an_object_repeats_the_last() -> None:
    logger = logged((0, 0, 0), (1, 1, 1), (0, 0, 0))
    first, *rest = logger.get_value(OBJECT_EMA, None)
    assert math.isnan(first) and rest == [0.5, 0.5]


def test_the_best_epoch_is_that_of_the_highest_average() -> None:
    assert is_best_object(logged((1, 1, 1)))
    assert is_best_object(logged((0, 0, 0), (1, 1, 1)))
    assert is_best_object(logged((1, 1, 1), (1, 0, 0)))
    assert not is_best_object(logged((1, 0, 0), (0, 1, 1)))
    assert not is_best_object(logged((1, 0, 0), (1, 0, 0)))
    assert not is_best_object(logged((0, 0, 0)))


def test_a_checkpoint_of_an_older_version_knows_no_object() -> None:
    old: dict[str, list[Any]] = LocalLogger().get_checkpoint()
    for key in old:
        old[key] = [0.25, 0.5]
    logger = PromptLogger()
    logger.load_checkpoint(old)
    assert logger.get_value("mean_fg_dice", None) == [0.25, 0.5]
    assert all(math.isnan(v) for v in logger.get_value(OBJECT, None)) and OBJECT not in old
    log_object(logger, np.array([1, 0, 0]), 2)
    assert logger.get_value(OBJECT_EMA, None)[2] == 1.0
    again = PromptLogger()
    again.load_checkpoint(logger.get_checkpoint())
    assert again.get_value(OBJECT, None)[2] == 1.0


def test_progress_png_is_drawn_also_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    logger = logged((1, 1, 1), (3, 1, 1))
    values = {"lrs": [0.1, 0.05, 0.01], "epoch_start_timestamps": [0.0, 10.0, 20.0]}
    for key, log in logger.my_fantastic_logging.items():
        if not log:
            log += values.get(key, [0.5, 0.25])
    logger.plot_progress_png(str(tmp_path))
    assert (tmp_path / "progress.png").read_bytes().startswith(b"\x89PNG")
