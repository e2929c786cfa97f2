"""Every family is told from the others by what is in its files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.networks.provenance import UNKNOWN_LICENCE
from nnunet_prompt.weights.families import family_of, open_source, stems_of
from nnunet_prompt.weights.source_model import (
    Row,
    SourceFiles,
    channels_of,
    find_source,
    rows_of_labels,
)
from tests.helpers.each import each
from tests.helpers.models import write_model_folder
from tests.weights.sources import (
    checkpoint_in,
    edit,
    multitalent_model,
    nninteractive_model,
    nnssl_checkpoint,
    nnunet_folders,
    source_dataset,
    source_plans,
    trained_model,
)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nnunet_folders(tmp_path, monkeypatch)


def found(names: tuple[str, ...] = (), *, trainer: str = "", dataset: str = "") -> SourceFiles:
    return SourceFiles(
        path=Path("c.pth"),
        checkpoint={"trainer_name": trainer},
        weights={name: torch.zeros(1) for name in names},
        plans={"dataset_name": dataset},
        dataset_json=None,
        configuration=None,
        folder=None,
    )


@each(
    ("what", "family"),
    [
        (found(), "nnunet"),
        (found(("heads.0.weight",)), "nnunet_prompt"),
        (found(("provenance",)), "nnunet_prompt"),
        (found(trainer="nnInteractiveTrainer_stub"), "nninteractive"),
        (found(trainer="MultiTalent_trainer_4000ep"), "multitalent"),
        (found(("encoder.stem.617.convs.0.conv.weight",)), "multitalent"),
        (found(("decoder.seg_layers.617.0.weight",)), "multitalent"),
        (
            found(("encoder.stem.convs.0.conv.weight", "decoder.seg_layers.0.weight")),
            "nnunet",
        ),
        (found(dataset="Dataset297_TotalSegmentator_total_3mm_1559subj"), "totalsegmentator"),
        (found(dataset="Dataset258_lung_vessels_248subj"), "totalsegmentator"),
    ],
)
def test_the_family_of(what: SourceFiles, family: str) -> None:
    assert family_of(what) == family


def test_a_file_and_its_folder_are_the_same_source(tmp_path: Path) -> None:
    folder = trained_model(tmp_path / "m", source_plans("plain"), source_dataset(("T1",)))
    by_file, by_folder = open_source(checkpoint_in(folder)), open_source(tmp_path / "m")
    assert by_file.path == by_folder.path == checkpoint_in(folder)
    assert by_file.trainer == "nnUNetTrainer" and by_file.family == "nnunet"
    assert by_file.channel_names == ("T1",) and by_file.n_image_channels == 1
    assert by_file.rows == {"ball": Row(1, 0), "rim": Row(2, 0)}
    assert not by_file.prompts and by_file.object_row is None
    assert by_file.origins[0].licence == UNKNOWN_LICENCE


def test_the_licence_is_that_of_the_folder_unless_it_is_stated(tmp_path: Path) -> None:
    folder = nninteractive_model(tmp_path / "m", licence="CC BY 4.0")
    assert open_source(folder).origins[0].licence == "CC BY 4.0"
    assert open_source(folder, licence="own").origins[0].licence == "own"
    source = open_source(folder)
    assert source.prompts and source.object_row == Row(1, 0) and source.n_image_channels == 1
    (folder / "LICENSE").write_text("\n\n")
    assert open_source(folder).origins[0].licence == UNKNOWN_LICENCE


def test_a_model_folder_of_ours(tmp_path: Path) -> None:
    source = open_source(write_model_folder(tmp_path / "m"))
    assert source.family == "nnunet_prompt" and source.object_row == Row(0)
    assert source.rows == {"ball": Row(1), "shell": Row(2), "core": Row(3)}
    assert "decoder.seg_layers.0.weight" in source.weights
    assert "provenance" not in source.weights


def test_folders_with_none_or_several_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no checkpoint_final\.pth"):
        open_source(tmp_path)
    write_model_folder(tmp_path / "m", folds=(0, 1))
    with pytest.raises(
        ModelError, match=r"2 checkpoints \(m/fold_0/checkpoint_final\.pth, m/fold_1"
    ):
        open_source(tmp_path)


def test_a_stem_is_chosen_only_where_there_are_several(tmp_path: Path) -> None:
    folder = trained_model(tmp_path / "m", source_plans("plain"), source_dataset())
    with pytest.raises(ModelError, match="one stem only"):
        open_source(folder, stem="035")
    assert stems_of(find_source(folder)) == []
    several = multitalent_model(tmp_path / "several")
    assert stems_of(find_source(several)) == ["035", "351_5"]
    assert open_source(several, stem="035").family == "multitalent"


def test_another_network_is_refused(tmp_path: Path) -> None:
    path = checkpoint_in(trained_model(tmp_path / "m", source_plans("plain"), source_dataset()))

    def foreign(content: dict[str, Any]) -> None:
        content["network_weights"] = {"swin.patch_embed.weight": torch.zeros(1)}

    edit(path, foreign)
    with pytest.raises(ModelError, match=r"found swin\.patch_embed\.weight"):
        open_source(path)

    def unknown(content: dict[str, Any]) -> None:
        settings = content["init_args"]["plans"]["configurations"]["3d_fullres"]
        settings["architecture"]["network_class_name"] = "os.system"

    edit(path, unknown)
    with pytest.raises(ModelError, match="its network is system"):
        open_source(path)


@each("missing", ["key_to_stem", "architecture_plans"])
def test_an_adaptation_plan_of_another_form(tmp_path: Path, missing: str) -> None:
    path = nnssl_checkpoint(tmp_path / "c.pth")
    edit(path, lambda c: c["nnssl_adaptation_plan"].pop(missing))
    with pytest.raises(ModelError, match="looks like nnssl") as caught:
        open_source(path)
    assert "\n" not in str(caught.value)


def test_the_first_form_of_adaptation_plans(tmp_path: Path) -> None:
    path = nnssl_checkpoint(tmp_path / "c.pth")

    def first(content: dict[str, Any]) -> None:
        content["nnssl_adaptation_plan"] = {
            "architecture_name": "ResEncL",
            "num_input_channels": 1,
            "input_patch_size": (160, 160, 160),
            "state_dict_key_to_encoder": "encoder.stages",
            "state_dict_key_to_stem": "encoder.stem",
        }

    edit(path, first)
    source = open_source(path)
    assert source.architecture["features_per_stage"] == [32, 64, 128, 256, 320, 320]
    assert source.settings["patch_size"] == [160, 160, 160] and "spacing" not in source.settings
    assert source.origins[0].licence == UNKNOWN_LICENCE


@each(
    ("labels", "rows"),
    [
        ({"background": 0, "LV": 1, "ignore": 2}, {"lv": Row(1, 0)}),
        ({"background": 0, "LV": "1"}, {"lv": Row(1, 0)}),
        ({"background": 0, "whole": [1, 2], "core": [2]}, {"whole": Row(0), "core": Row(1)}),
        ({"background": [0], "whole": [1, 2], "ignore": 3}, {"whole": Row(0)}),
        ({}, {}),
        (None, {}),
    ],
)
def test_which_output_is_which_label(labels: Any, rows: dict[str, Row]) -> None:
    assert rows_of_labels({"labels": labels}) == rows


def test_names_of_channels() -> None:
    assert channels_of({"channel_names": {"0": "T1", "1": "T2"}}) == ("T1", "T2")
    assert channels_of({"modality": {"0": "CT"}}) == ("CT",)
    assert channels_of(None) == channels_of({}) == ()


def test_copies_beside_the_folds_of_a_model_are_not_meant(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "m")
    for name in ("fold_0_old", "fold_0 (copy)"):
        shutil.copytree(folder / "fold_0", folder / name)
    assert find_source(folder).path == checkpoint_in(folder)
