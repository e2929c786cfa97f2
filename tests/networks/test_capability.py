"""The capability file: what older files leave out means the defaults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.networks.capability import (
    CAPABILITY_FILE,
    Capability,
    read_capability,
    write_capability,
)
from tests.helpers.each import each

OLD: dict[str, Any] = {  # of version 0.1's first months
    "version": 1,
    "prompt_channels": [
        *("mask", "box +", "box -", "point +", "point -", "scribble +", "scribble -"),
    ],
    "point_shape": "edt",
    "point_radius": 4.0,
    "scribble_radius": 1.0,
    "point_metric": "spacing",
    "grid_spacing": [4.0, 1.5, 1.25],
    "slice_axis": 0,
}


def test_an_old_file_is_read(tmp_path: Path) -> None:
    (tmp_path / CAPABILITY_FILE).write_text(json.dumps(OLD))
    assert read_capability(tmp_path) == Capability(
        grid_spacing=(4.0, 1.5, 1.25), interaction_decay=1.0, pad_mode_image="constant"
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    capability = Capability(point_metric="voxel", interaction_decay=0.9, slice_axis=2)
    write_capability(tmp_path, capability)
    assert read_capability(tmp_path) == capability
    written = json.loads((tmp_path / CAPABILITY_FILE).read_text())
    assert (written["interaction_decay"], written["pad_mode_image"]) == (0.9, "constant")


@each(
    ("key", "value"),
    [
        ("interaction_decay", 0),
        ("interaction_decay", 1.1),
        ("interaction_decay", "none"),
        ("pad_mode_image", "reflect"),
    ],
)
def test_what_cannot_be_is_refused(key: str, value: Any, tmp_path: Path) -> None:
    (tmp_path / CAPABILITY_FILE).write_text(json.dumps({**OLD, key: value}))
    with pytest.raises(ModelError, match="not a capability file") as caught:
        read_capability(tmp_path)
    assert "\n" not in str(caught.value)
