"""What our reader needs is found where only nnU-Net's own files have travelled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.inference.model_files import CAPABILITY_KEY, describe_model
from nnunet_prompt.inference.model_folder import load_model
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.networks.capability import (
    CAPABILITY_FILE,
    Capability,
    capability_to_json,
    read_capability,
)
from nnunet_prompt.networks.provenance import Points, pack
from nnunet_prompt.networks.tensor_names import PROVENANCE
from nnunet_prompt.weights.stock import plain_dataset_json
from tests.helpers.each import each
from tests.helpers.models import (
    SPACING,
    TABLE,
    hand_made_dataset_json,
    hand_made_plans,
    write_model_folder,
)

ON_CPU = PredictOptions(device="cpu")
OTHER = Capability(
    point_shape="gaussian", point_radius=3.0, grid_spacing=SPACING, interaction_decay=0.5
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder without our file."""
    made = write_model_folder(tmp_path / "any name")
    (made / CAPABILITY_FILE).unlink()
    return made


def change_checkpoint(folder: Path, **changes: Any) -> None:
    path = folder / "fold_0" / "checkpoint_final.pth"
    torch.save({**torch.load(path, weights_only=False), **changes}, path)


def checkpoint(folder: Path) -> dict[str, Any]:
    return dict(torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=False))


class TestFound:
    def test_in_dataset_json(self, folder: Path) -> None:
        path = folder / "dataset.json"
        described = {**json.loads(path.read_text()), CAPABILITY_KEY: capability_to_json(OTHER)}
        path.write_text(json.dumps(described))
        assert load_model(folder, ON_CPU).capability == OTHER

    def test_in_the_checkpoint(self, folder: Path) -> None:
        arguments = checkpoint(folder)["init_args"]
        arguments["dataset_json"][CAPABILITY_KEY] = capability_to_json(OTHER)
        change_checkpoint(folder, init_args=arguments)
        assert load_model(folder, ON_CPU).capability == OTHER

    def test_in_the_weights_of_our_first_trainings(self, folder: Path) -> None:
        weights = checkpoint(folder)["network_weights"]
        weights[PROVENANCE] = pack((), Points("ball", 2.0, "voxel"))
        change_checkpoint(folder, network_weights=weights)
        assert load_model(folder, ON_CPU).capability == Capability(
            point_shape="ball", point_radius=2.0, point_metric="voxel", grid_spacing=SPACING
        )

    def test_its_own_file_comes_first(self, folder: Path) -> None:
        (folder / CAPABILITY_FILE).write_text(json.dumps(capability_to_json(Capability())))
        path = folder / "dataset.json"
        described = {**json.loads(path.read_text()), CAPABILITY_KEY: capability_to_json(OTHER)}
        path.write_text(json.dumps(described))
        assert load_model(folder, ON_CPU).capability == Capability()

    def test_nowhere(self, folder: Path) -> None:
        with pytest.raises(ModelError, match=rf"{CAPABILITY_FILE}: not found"):
            load_model(folder, ON_CPU)

    @each("content", [None, [], 3, {}, {"version": 1}])
    def test_damaged_in_dataset_json(self, folder: Path, content: Any) -> None:
        path = folder / "dataset.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), CAPABILITY_KEY: content}))
        with pytest.raises(ModelError, match=rf"dataset.json: {CAPABILITY_KEY}: not a capability"):
            load_model(folder, ON_CPU)


class TestDescribed:
    def described(self, folder: Path, table: StructureTable) -> dict[str, Any]:
        dataset_json = hand_made_dataset_json(table)
        describe_model(
            folder,
            OTHER,
            plans=hand_made_plans(),
            dataset_json=dataset_json,
            orientation=table.orientation,
        )
        return dataset_json

    def test_three_files(self, tmp_path: Path) -> None:
        canonical = StructureTable(TABLE.structures, "canonical")
        given = self.described(tmp_path, canonical)
        assert given[CAPABILITY_KEY] == capability_to_json(OTHER)  # for nnU-Net's checkpoints
        written = json.loads((tmp_path / "dataset.json").read_text())
        assert written == json.loads(json.dumps(given))
        assert read_capability(tmp_path) == OTHER
        plans = json.loads((tmp_path / "plans.json").read_text())
        assert plans == {**hand_made_plans(), "nnunet_prompt": {"orientation": "canonical"}}

    def test_plans_stay_nnunets_for_images_as_they_are(self, tmp_path: Path) -> None:
        self.described(tmp_path, TABLE)
        assert not (tmp_path / "plans.json").exists()

    def test_an_export_leaves_it_out(self) -> None:
        given = {**hand_made_dataset_json(), CAPABILITY_KEY: capability_to_json(OTHER)}
        assert set(plain_dataset_json(given, TABLE)) == {
            "channel_names",
            "labels",
            "file_ending",
            "numTraining",
        }
