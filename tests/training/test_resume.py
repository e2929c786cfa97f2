"""Checkpoints to resume, to validate and to start from, looked at before nnU-Net loads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.data.planned import open_planned
from nnunet_prompt.training.resume import (
    BEST,
    FINAL,
    LATEST,
    check_resumable,
    check_start,
    check_validatable,
    to_resume_from,
)
from nnunet_prompt.weights.target import target_of
from tests.helpers.each import each
from tests.helpers.models import PLANS
from tests.helpers.planned import write_planned

WHOLE: dict[str, Any] = {
    "network_weights": {"a": torch.zeros(2)},
    "optimizer_state": {},
    "init_args": {},
    "current_epoch": 3,
    "logging": {},
    "_best_ema": None,
}


def save(path: Path, *, length: int | None = None, without: str = "") -> Path:
    torch.save({k: v for k, v in WHOLE.items() if k != without}, path)
    path.write_bytes(path.read_bytes()[:length])
    return path


def refusal(function: Any, *what: Any, **how: Any) -> str:
    with pytest.raises(ModelError) as caught:
        function(*what, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nnunets_order(tmp_path: Path) -> None:
    assert to_resume_from(tmp_path) is None
    for name in (BEST, LATEST, FINAL):
        save(tmp_path / name)
        assert to_resume_from(tmp_path) == tmp_path / name
        check_resumable(tmp_path / name)


@each("length", [0, 10, 400])
def test_half_a_checkpoint(tmp_path: Path, length: int) -> None:
    half = save(tmp_path / LATEST, length=length)
    assert refusal(check_resumable, half) == (
        f"{half}: not a whole checkpoint, as if its writing was cut off: train anew without --c"
    )
    save(tmp_path / BEST)
    assert refusal(check_resumable, half).endswith(f"remove it to resume from {BEST}")


@each("key", ["optimizer_state", "current_epoch", "logging"])
def test_weights_without_the_state_of_a_training(tmp_path: Path, key: str) -> None:
    message = refusal(check_resumable, save(tmp_path / FINAL, without=key))
    assert f"no {key!r}" in message and "-pretrained_weights" in message


def test_a_training_that_has_not_ended_cannot_be_validated(tmp_path: Path) -> None:
    assert "train it first" in refusal(check_validatable, tmp_path, best=False)
    save(tmp_path / BEST)
    assert f"resume it from {BEST} with --c" in refusal(check_validatable, tmp_path, best=False)
    save(tmp_path / FINAL)
    check_validatable(tmp_path, best=True)
    (tmp_path / BEST).unlink()
    assert BEST in refusal(check_validatable, tmp_path, best=True)


class TestPretrainedWeights:
    @pytest.fixture
    def planned(self, tmp_path: Path) -> Any:
        write_planned(tmp_path)
        return open_planned("501", PLANS, "2d")

    @pytest.fixture
    def weights(self, planned: Any) -> dict[str, torch.Tensor]:
        target = target_of(dict(planned.plans), "2d", dict(planned.dataset_json))
        return {k: torch.zeros(v.shape, dtype=v.dtype) for k, v in target.fresh.items()}

    def test_what_fits(self, tmp_path: Path, planned: Any, weights: Any) -> None:
        torch.save({"network_weights": weights}, tmp_path / "w.pth")
        check_start(tmp_path / "w.pth", planned)

    def test_plain_weights_are_to_be_adapted(self, tmp_path: Path, planned: Any) -> None:
        path = save(tmp_path / "w.pth")
        assert refusal(check_start, path, planned) == (
            f"{path}: weights of a plain network, it takes no prompts: run `nnunet-prompt weights adapt {path} -d 501"
            f" -p {PLANS} -c 2d -o start.pth` and give -pretrained_weights start.pth"
        )

    def test_experts_would_be_dropped(self, tmp_path: Path, planned: Any, weights: Any) -> None:
        path = tmp_path / "w.pth"
        weights["encoder.stages.1.0.convs.0.conv.experts.down"] = torch.zeros(4, 2, 9)
        torch.save({"network_weights": weights}, path)
        assert refusal(check_start, path, planned) == (
            f"{path}: has experts, which a training does not start from, and the weights without them answer worse: run"
            f" `nnunet-prompt weights adapt {path} -d 501 -p {PLANS} -c 2d -o start.pth` and give -pretrained_weights"
            " start.pth"
        )

    @pytest.mark.parametrize("change", ["missing", "shape"])
    def test_weights_of_another_network(
        self, tmp_path: Path, planned: Any, weights: Any, change: str
    ) -> None:
        name = next(n for n in weights if n.startswith("heads."))
        value = weights.pop(name)
        weights |= {} if change == "missing" else {name: value[:-1]}
        torch.save({"network_weights": weights}, tmp_path / "w.pth")
        message = refusal(check_start, tmp_path / "w.pth", planned)
        assert f"does not fit {PLANS} 2d: tensor {name} " in message
        assert "weights adapt" in message

    def test_what_is_no_checkpoint(self, tmp_path: Path, planned: Any) -> None:
        assert "not found" in refusal(check_start, tmp_path / "none.pth", planned)
        (tmp_path / "junk.pth").write_bytes(b"junk" * 100)
        assert "not a readable checkpoint" in refusal(check_start, tmp_path / "junk.pth", planned)
