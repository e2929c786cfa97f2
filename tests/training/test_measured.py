"""What is measured on validation patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from nnunet_prompt.training.loss import UNKNOWN, PromptLoss
from tests.helpers.models import make_trainer


@pytest.mark.usefixtures("results")
class TestValidationStep:
    def counts(self, logits: torch.Tensor, target: torch.Tensor) -> dict[str, Any]:
        trainer = make_trainer()
        trainer.enable_deep_supervision = False
        trainer.network = lambda data: logits
        trainer.loss = PromptLoss()
        result: dict[str, Any] = trainer.validation_step({"data": logits, "target": target})
        return result

    def test_structures_and_beside_them_the_object_over_known_voxels(self) -> None:
        logits = torch.tensor([[[[[5.0, 5, -5, -5]]], [[[5, -5, 5, -5]]], [[[5, 5, 5, 5]]]]])
        target = torch.tensor(
            [[[[[1, 0, 1, 0]]], [[[1, UNKNOWN, 0, 1]]], [[[UNKNOWN] * 4]]]], dtype=torch.int8
        )
        result = self.counts(logits, target)
        assert result["tp_hard"].tolist() == [1, 0]
        assert result["fp_hard"].tolist() == [1, 0]
        assert result["fn_hard"].tolist() == [1, 0]
        assert result["object"].tolist() == [1, 1, 1]
        assert np.isfinite(result["loss"])

    def test_an_epoch_that_shows_nothing_does_not_spoil_the_moving_average(self) -> None:
        """0 / 0 for every structure, then a good epoch: nnU-Net's best checkpoint needs a number again."""
        trainer = make_trainer()
        nothing = {k: np.zeros(3, np.int64) for k in ("tp_hard", "fp_hard", "fn_hard", "object")}
        good = {**nothing, "tp_hard": np.full(3, 5)}
        for epoch, counts in enumerate((good, nothing, good)):
            trainer.current_epoch = epoch
            trainer.on_validation_epoch_end([{"loss": np.array(1.0), **counts}])
        assert np.isfinite(trainer.logger.get_value("ema_fg_dice", None)).all()

    def test_structures_that_are_not_shown_stay_out_of_the_mean(self) -> None:
        trainer = make_trainer()
        counts = {
            "tp_hard": np.array([1, 0, 3]),
            "fp_hard": np.array([1, 0, 0]),
            "fn_hard": np.array([1, 0, 0]),
            "object": np.array([0, 4, 0]),  # which is no structure
        }
        trainer.on_validation_epoch_end([{"loss": np.array(1.0), **counts}])
        assert trainer.logger.get_value("mean_fg_dice", -1) == pytest.approx((0.5 + 1.0) / 2)
