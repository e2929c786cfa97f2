"""Checkpoints are read as data: what would run code is refused, what is damaged says so, in one line."""

from __future__ import annotations

import io
import pickle
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.networks.checkpoint import read_checkpoint
from tests.helpers.each import each


def nnunet_checkpoint() -> dict[str, Any]:
    """What nnU-Net 2.8 saves, in small."""
    return {
        "network_weights": OrderedDict({"encoder.weight": torch.arange(6.0).reshape(2, 3)}),
        "optimizer_state": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1}]},
        "grad_scaler_state": None,
        "logging": {
            "mean_fg_dice": [np.float64(0.25)],
            "ema_fg_dice": [np.float64(0.25), np.float32(0.5)],
            "dice_per_class_or_region": [[np.float64(0.5), np.float64("nan")]],
            "train_losses": [np.float32(1.5)],
            "epoch_start_timestamps": [1700000000.5],
        },
        "_best_ema": np.float64(0.25),
        "current_epoch": 3,
        "init_args": {
            "plans": {"plans_name": "p", "spacing": (1.0, 2.0)},
            "fold": 0,
            "device": torch.device("cpu"),
        },
        "trainer_name": "nnUNetTrainerPrompt",
        "inference_allowed_mirroring_axes": (0, 1),
    }


def save(path: Path, content: Any, **how: Any) -> Path:
    torch.save(content, path, **how)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


class Runs:
    """Unpickling it writes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.marker, "it ran")


class Evaluates(Runs):
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"__import__('pathlib').Path({str(self.marker)!r}).touch()",)


@each("mmap", [False, True])
def test_a_checkpoint_of_nnunet_is_read_whole(tmp_path: Path, mmap: bool) -> None:
    path = save(tmp_path / "c.pth", nnunet_checkpoint())
    content = read_checkpoint(path, mmap=mmap)
    expected = nnunet_checkpoint()
    assert set(content) == set(expected)
    weights = content["network_weights"]["encoder.weight"]
    assert torch.equal(weights, expected["network_weights"]["encoder.weight"])
    assert content["logging"]["ema_fg_dice"] == [0.25, 0.5]
    assert content["_best_ema"] == 0.25
    assert content["init_args"] == expected["init_args"]
    assert content["inference_allowed_mirroring_axes"] == (0, 1)


@each(
    "value",
    [
        np.float32(1.5),
        np.float64(1.5),
        np.int32(-3),
        np.int64(-3),
        np.bool_(True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_number_may_be_in_a_log(tmp_path: Path, value: Any) -> None:
    content = {**nnunet_checkpoint(), "_best_ema": value}
    found = read_checkpoint(save(tmp_path / "c.pth", content))["_best_ema"]
    assert found == value and type(found) is type(value)


@each("kind", [Runs, Evaluates])
@each("zipped", [True, False], ids=["zip", "old format"])
def test_a_crafted_checkpoint_does_not_run(tmp_path: Path, kind: type[Runs], zipped: bool) -> None:
    marker = tmp_path / "marker"
    content = {**nnunet_checkpoint(), "surprise": kind(marker)}
    path = save(tmp_path / "c.pth", content, _use_new_zipfile_serialization=zipped)
    assert "refused" in refusal(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists()  # it is a trap: read as nnU-Net reads it, it does run


def test_formats_that_nnunet_never_wrote_are_refused_by_name(tmp_path: Path) -> None:
    """Also what torch itself would still read: its safe reading came late to old formats."""
    path = tmp_path / "c.pth"
    save(path, nnunet_checkpoint(), _use_new_zipfile_serialization=False)
    assert "refused, a bare pickle (torch's format before 1.6)" in refusal(path)
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    assert "refused, a tar archive" in refusal(path)
    path.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is on its way out
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 3)), str(path))
    assert "refused, a TorchScript archive" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive_of_a_model:
        archive_of_a_model.writestr("model/fold_0/checkpoint_final.pth", b"x")
    assert "refused, a zip archive without a checkpoint in its first folder" in refusal(path)


def test_a_plain_pickle_does_not_run(tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "c.pth"
    path.write_bytes(pickle.dumps({"network_weights": Evaluates(marker)}))
    refusal(path)
    assert not marker.exists()


def test_the_allowance_ends_with_the_reading(tmp_path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    read_checkpoint(save(tmp_path / "c.pth", nnunet_checkpoint()))
    assert set(torch.serialization.get_safe_globals()) == before


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "c.pth", torch.nn.Linear(2, 3))
    assert "refused" in refusal(path)


@each("zipped", [True, False], ids=["zip", "old format"])
def test_a_truncated_file_says_so_wherever_it_ends(tmp_path: Path, zipped: bool) -> None:
    whole = save(tmp_path / "w.pth", nnunet_checkpoint(), _use_new_zipfile_serialization=zipped)
    data = whole.read_bytes()
    path = tmp_path / "c.pth"
    for length in [*range(0, 200, 7), *range(200, len(data) - 1, max(1, len(data) // 60))]:
        path.write_bytes(data[:length])
        refusal(path)


@each("zipped", [True, False], ids=["zip", "old format"])
def test_a_damaged_file_never_ends_in_a_traceback(tmp_path: Path, zipped: bool) -> None:
    whole = save(tmp_path / "w.pth", nnunet_checkpoint(), _use_new_zipfile_serialization=zipped)
    data = bytearray(whole.read_bytes())
    path = tmp_path / "c.pth"
    rng = np.random.default_rng(0)
    for _ in range(150):
        broken = data.copy()
        for index in rng.integers(0, len(data), 8):
            broken[index] = int(rng.integers(0, 256))
        path.write_bytes(bytes(broken))
        try:
            read_checkpoint(path)  # the damage may lie in a number
        except ModelError as error:
            assert "\n" not in str(error)


@each(
    "content",
    [b"", b"PK", b"not a checkpoint at all\n" * 5, bytes(range(256)), b"\x80\x02}q\x00.", b"{}"],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.pth"
    path.write_bytes(content)
    refusal(path)


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    refusal(path)


@each("content", [{"state_dict": {}}, [1, 2], torch.zeros(3), {}, {"network_weights": "none"}])
def test_another_kind_of_checkpoint_is_named(tmp_path: Path, content: Any) -> None:
    assert "network_weights" in refusal(save(tmp_path / "c.pth", content))


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert "not found" in refusal(tmp_path / "none.pth")
    refusal(tmp_path)
