"""The structure heads as a plain nnU-Net model: the same logits, and nnU-Net's decoding is ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.inference.merge import decode_structures
from nnunet_prompt.inference.model_folder import load_model
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.networks.capability import Capability
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.weights.export import ExportOptions, export_model
from nnunet_prompt.weights.stock import overwriting_order, plain_dataset_json
from tests.helpers.each import each
from tests.helpers.exports import TABLE, servable_plans, write_model
from tests.helpers.models import SPACING, hand_made_dataset_json, hand_made_plans
from tests.weights.sources import checkpoint_in, nnunet_network

SMALL = (8, 12, 16)
UNIONS = StructureTable(
    (
        Structure("scar", 1, (1,), 2221),
        Structure("wall", 2, (1, 2, 3), 200),
        Structure("edema", 3, (1, 3), 1220),
        Structure("cavity", 4, (4,), 500),
    ),
    priority=("scar", "edema", "wall"),
)


def images(channels: int = 1) -> torch.Tensor:
    return torch.randn((2, channels, *SMALL), generator=torch.Generator().manual_seed(0))


def exported(tmp_path: Path, **model: Any) -> tuple[Path, Path]:
    ours = write_model(
        tmp_path / "ours", plans=model.pop("plans", servable_plans(patch=SMALL)), **model
    )
    export_model(ours, tmp_path / "theirs", "nnunet")
    return ours, tmp_path / "theirs"


def theirs(folder: Path, fold: str = "fold_0", *, inputs: int = 1) -> torch.nn.Module:
    plans, described = (
        json.loads((folder / f"{n}.json").read_text()) for n in ("plans", "dataset")
    )
    outputs = PlansManager(plans).get_label_manager(described).num_segmentation_heads
    network = nnunet_network(plans, inputs, outputs)
    weights = read_checkpoint(folder / fold / "checkpoint_final.pth")["network_weights"]
    network.load_state_dict(weights)
    return network


def silent(image: torch.Tensor) -> torch.Tensor:
    return torch.cat([image, torch.zeros((len(image), 7, *image.shape[2:]))], dim=1)


class TestLogits:
    @each("kind", ["plain", "residual"])
    @each("channels", [1, 2])
    def test_background_is_zero_and_structures_are_ours(
        self, kind: str, channels: int, tmp_path: Path
    ) -> None:
        plans = servable_plans(kind, patch=SMALL)
        plans["configurations"]["3d_fullres"].update(
            normalization_schemes=["ZScoreNormalization"] * channels,
            use_mask_for_norm=[False] * channels,
        )
        plans["foreground_intensity_properties_per_channel"] = {str(c): {} for c in range(channels)}
        ours, folder = exported(tmp_path, plans=plans, channels=channels)
        image = images(channels)
        with torch.inference_mode():
            expected = load_model(ours, PredictOptions(device="cpu")).network(silent(image))
            found = theirs(folder, inputs=channels)(image)
        assert found.shape == (2, 3, *SMALL)
        assert not found[:, 0].any()
        assert expected[:, 1:].std() > 0.01
        torch.testing.assert_close(found[:, 1:], expected[:, 1:], rtol=0, atol=1e-5)

    def test_regions_are_the_heads_in_the_order_of_overwriting(self, tmp_path: Path) -> None:
        ours, folder = exported(tmp_path, table=UNIONS)
        with torch.inference_mode():
            expected = load_model(ours, PredictOptions(device="cpu")).network(silent(images()))
            found = theirs(folder)(images())
        torch.testing.assert_close(found, expected[:, [4, 2, 3, 1]], rtol=0, atol=1e-5)

    def test_every_fold_keeps_its_name_and_weights(self, tmp_path: Path) -> None:
        ours, folder = exported(tmp_path, folds=(0, "all"))
        assert sorted(p.name for p in folder.glob("fold_*")) == ["fold_0", "fold_all"]
        for number, fold in enumerate((0, "all")):
            model = load_model(ours, PredictOptions(device="cpu", folds=(fold,)))
            with torch.inference_mode():
                expected = model.network(silent(images()))[:, 1:]
                found = theirs(folder, f"fold_{fold}")(images())[:, 1:]
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
            assert number == 0 or not torch.equal(found, theirs(folder)(images())[:, 1:])

    def test_only_the_folds_asked_for(self, tmp_path: Path) -> None:
        ours = write_model(tmp_path / "ours", plans=servable_plans(patch=SMALL), folds=(0, 2))
        export_model(ours, tmp_path / "theirs", "nnunet", options=ExportOptions(folds=(2,)))
        assert [p.name for p in (tmp_path / "theirs").glob("fold_*")] == ["fold_2"]

    def test_slices(self, tmp_path: Path) -> None:
        ours, folder = exported(
            tmp_path,
            plans=hand_made_plans(),
            configuration="2d",
            capability=Capability(grid_spacing=SPACING[1:]),
        )
        image = images()[:, :, 0]
        with torch.inference_mode():
            expected = load_model(ours, PredictOptions(device="cpu")).network(silent(image))
            found = theirs(folder)(image)
        torch.testing.assert_close(found[:, 1:], expected[:, 1:], rtol=0, atol=1e-5)


class TestFolder:
    def test_nothing_of_ours_is_left(self, tmp_path: Path) -> None:
        _, folder = exported(tmp_path)
        names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        assert names == ["LICENSE", "dataset.json", "fold_0/checkpoint_final.pth", "plans.json"]
        described = json.loads((folder / "dataset.json").read_text())
        assert described == {
            "channel_names": {"0": "image 0"},
            "labels": {"background": 0, "dim": 1, "bright": 2},
            "file_ending": ".nii.gz",
            "numTraining": 1,
        }
        checkpoint = read_checkpoint(checkpoint_in(folder))
        assert checkpoint["trainer_name"] == "nnUNetTrainer"
        assert checkpoint["inference_allowed_mirroring_axes"] == (0, 1, 2)
        assert checkpoint["init_args"]["configuration"] == "3d_fullres"
        assert checkpoint["init_args"]["dataset_json"] == described

    def test_unions_become_regions(self) -> None:
        described = hand_made_dataset_json(UNIONS)
        described["labels"]["ignore"] = 5
        plain = plain_dataset_json(described, UNIONS)
        assert list(plain["labels"].items()) == [
            ("background", 0),
            ("cavity", 4),
            ("wall", [1, 2, 3]),
            ("edema", [1, 3]),
            ("scar", 1),
            ("ignore", 5),
        ]
        assert plain["regions_class_order"] == [4, 2, 3, 1]
        assert "nnunet_prompt" not in plain

    def test_the_ignore_label_stays(self) -> None:
        described = hand_made_dataset_json(TABLE)
        described["labels"]["ignore"] = 3
        assert plain_dataset_json(described, TABLE)["labels"] == described["labels"]


class TestDecoding:
    """nnU-Net's own label manager on the exported model's outputs, and ours on the structure heads."""

    def both(self, table: StructureTable, logits: torch.Tensor) -> tuple[Any, Any]:
        described = plain_dataset_json(hand_made_dataset_json(table), table)
        manager = PlansManager(servable_plans()).get_label_manager(described)
        regions = "regions_class_order" in described
        heads = [s.label - 1 for s in overwriting_order(table)]
        outputs = logits[heads] if regions else torch.cat([torch.zeros_like(logits[:1]), logits])
        stock = np.asarray(manager.convert_logits_to_segmentation(outputs))
        return stock, decode_structures(logits.numpy(), table.in_labels())

    def test_of_two_claims_the_more_probable(self) -> None:
        logits = torch.randn((2, 4, 5, 6), generator=torch.Generator().manual_seed(1))
        stock, ours = self.both(TABLE, logits)
        assert set(np.unique(ours)) == {0, 1, 2}
        assert np.array_equal(stock, ours)

    def test_unions_by_their_priority(self) -> None:
        logits = torch.randn((4, 9, 9, 9), generator=torch.Generator().manual_seed(1))
        stock, ours = self.both(UNIONS, logits)
        # the priority does not name the cavity: of the rest it yields to all, as with us
        assert set(np.unique(ours)) == {0, 1, 2, 3, 4}
        assert np.array_equal(stock, ours)

    def test_a_whole_yields_to_its_parts(self) -> None:
        without = StructureTable(UNIONS.structures)
        assert [s.name for s in overwriting_order(without)] == ["wall", "edema", "scar", "cavity"]
        logits = torch.full((4, 1, 1, 1), 3.0)  # the whole no less probable than its parts
        logits[3] = -1.0
        stock, _ = self.both(without, logits)
        assert stock.item() == 1


class TestNotes:
    def notes(self, tmp_path: Path, table: StructureTable) -> tuple[str, ...]:
        ours = write_model(tmp_path / "ours", plans=servable_plans(patch=SMALL), table=table)
        return export_model(ours, tmp_path / "theirs", "nnunet").notes

    def test_official_values(self, tmp_path: Path) -> None:
        assert self.notes(tmp_path, TABLE) == (
            "masks hold nnU-Net's labels, not the official values: 1 for dim (500), 2 for bright (200)",
        )

    def test_nothing_to_say(self, tmp_path: Path) -> None:
        assert self.notes(tmp_path, TABLE.in_labels()) == ()

    def test_priority(self, tmp_path: Path) -> None:
        table = StructureTable(TABLE.in_labels().structures, priority=("dim",))
        (note,) = self.notes(tmp_path, table)
        assert note == (
            "where two structures claim a voxel, nnU-Net takes the more probable one, our predictor the one that the"
            " priority names first"
        )

    def test_unions_and_orientation(self, tmp_path: Path) -> None:
        table = StructureTable(UNIONS.in_labels().structures, "canonical", UNIONS.priority)
        regions, orientation = self.notes(tmp_path, table)
        assert "region-based" in regions
        assert "canonical orientation" in orientation


def test_the_folder_itself_says_which_images_it_takes(tmp_path: Path) -> None:
    """Without our package nnU-Net reads files as they are stored."""
    canonical = StructureTable(TABLE.structures, "canonical")
    ours = write_model(tmp_path / "ours", plans=hand_made_plans(), table=canonical)
    export_model(ours, tmp_path / "theirs", "nnunet")
    said = (tmp_path / "theirs" / "HOW_TO_PREDICT.txt").read_text()
    assert "canonical orientation" in said and "wrong masks" in said
    plain = write_model(tmp_path / "plain", plans=hand_made_plans())
    export_model(plain, tmp_path / "others", "nnunet")
    assert not (tmp_path / "others" / "HOW_TO_PREDICT.txt").exists()


def test_the_documentation_says_it_too() -> None:
    text = (Path(__file__).parents[2] / "docs" / "predict.md").read_text("utf-8")
    assert "`HOW_TO_PREDICT.txt`" in text and "canonical orientation" in text
