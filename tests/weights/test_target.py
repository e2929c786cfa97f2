"""The network that weights are adapted to is the one that will be trained."""

from __future__ import annotations

import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunet_prompt.common.errors import DatasetError, ModelError
from nnunet_prompt.networks.network import build_network
from nnunet_prompt.training.trainer import PromptTrainer
from nnunet_prompt.weights.target import target_of
from tests.helpers.each import each
from tests.helpers.models import hand_made_dataset_json
from tests.weights.sources import TARGET, plans_of


@each("kind", ["plain", "residual"])
def test_it_is_the_network_of_the_trainer(kind: str) -> None:
    plans = plans_of(kind)
    manager = PlansManager(plans)
    torch.manual_seed(0)
    theirs = PromptTrainer.build_network_architecture(
        manager, manager.get_configuration("3d_fullres"), 2, 3, True
    )
    torch.manual_seed(0)
    ours = build_network(
        plans["configurations"]["3d_fullres"]["architecture"], 2, 3, deep_supervision=True
    )
    assert type(ours) is type(theirs)
    a, b = ours.state_dict(), theirs.state_dict()
    assert list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def test_of_the_encoder_only_shapes_are_kept() -> None:
    target = target_of(plans_of("residual"), "3d_fullres", hand_made_dataset_json(TARGET))
    for name, value in target.fresh.items():
        assert (value.device.type == "meta") == ("encoder." in name)
    stem = next(names for names in target.aliases if "stem" in names[0])
    assert len(stem) == 4
    assert sum(map(len, target.aliases)) == len(target.fresh) - 1  # without the provenance
    assert target.channel_names == ("image 0",) and target.plans_name == "tinyPlans"
    assert "cases" not in target.init_args()["dataset_json"]["nnunet_prompt"]


def test_what_cannot_be_a_target() -> None:
    described = hand_made_dataset_json(TARGET)
    with pytest.raises(ModelError, match="do not describe the configuration '3d_lowres'"):
        target_of(plans_of(), "3d_lowres", described)
    with pytest.raises(DatasetError, match="channel_names is empty"):
        target_of(plans_of(), "3d_fullres", described | {"channel_names": {}})
