"""A site inside nnU-Net's trainer: runs that repeat, and adapters that make the site's model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nnunet_prompt.common.errors import NNUNetPromptError, RefusedError
from nnunet_prompt.federated.client import answer
from nnunet_prompt.federated.exchange import Ask
from nnunet_prompt.federated.part import pack_part
from nnunet_prompt.federated.plan import Rounds
from nnunet_prompt.federated.rounds import federate, private_part
from nnunet_prompt.federated.site import Site
from nnunet_prompt.federated.site_config import NodeConfig
from nnunet_prompt.inference.model_folder import load_model
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.networks.adapter_file import read_adapter
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.weights.merge import merge_adapter
from tests.helpers.models import PLANS
from tests.helpers.tiny_data import TinyData, nnunet_environment, trained

pytestmark = pytest.mark.slow

PLAN = Rounds(2, 2, 2)
SETTINGS = {"rounds": 2, "iterations": 2, "private-iterations": 2, "learning-rate": 3e-3, "seed": 0}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyData, Path]:
    tiny, model = trained(tmp_path_factory, "3d_fullres")
    return tiny, model / "fold_0" / "checkpoint_final.pth"


def config(name: str, base: Path, trainer: str = "nnUNetTrainerPromptLoRA") -> NodeConfig:
    return NodeConfig(name, "501", base, plans=PLANS, trainer=trainer)


def test_two_sites_two_runs_and_the_same_numbers(
    start: tuple[TinyData, Path], tmp_path: Path
) -> None:
    tiny, base = start
    with nnunet_environment({**tiny.variables, "nnUNet_results": str(tmp_path)}):
        sites = [Site(config(name, base)) for name in ("a", "b")]
        before = {n: t.clone() for n, t in sites[0].trainer.network.state_dict().items()}
        first, again = (federate(sites, PLAN) for _ in range(2))
        assert pack_part(first.shared).tobytes() == pack_part(again.shared).tobytes()
        assert pack_part(first.shared).tobytes() != pack_part(sites[0].start()).tobytes()
        parts = [s.train(sites[0].start(), None, PLAN.phase(1)) for s in sites]
        assert pack_part(parts[0]).tobytes() != pack_part(parts[1]).tobytes()
        # what the network has of the base stays as it was
        sites[0].state.set(sites[0].start())
        after = sites[0].trainer.network.state_dict()
        assert all(torch.equal(before[n], t) for n, t in after.items())
        own = private_part(sites[0], first.shared, PLAN)
        assert own is not None and 0 <= sites[0].patch_dice(own, first.shared) <= 1
        assert private_part(sites[0], first.shared, Rounds(2, 2)) is None
        found = sites[0].case_dice(own, first.shared, ["none"])
        assert sorted(found["none"]) == ["tiny_04", "tiny_05"]
        assert len(found["none"]["tiny_04"]) == 1 and len(found["none"]["tiny_05"]) == 3
        sent = {(e.site, e.round): (e.received, e.sent) for e in first.exchanges}
        size = pack_part(first.shared).nbytes
        assert sent["a", 1] == (0, size) and sent["b", 2] == (size, size)
        assert sent["a", 3] == (size, 0)


def test_the_adapter_of_a_site_makes_its_model(
    start: tuple[TinyData, Path], tmp_path: Path
) -> None:
    tiny, base = start
    with nnunet_environment({**tiny.variables, "nnUNet_results": str(tmp_path)}):
        ask = Ask("train", 1, np.zeros(0, np.float32), SETTINGS)
        first = answer(config("a", base), ask)
        assert first.cases == 4 and first.numbers.any() and set(first.dice) == {"shared"}
        assert answer(config("a", base), ask).numbers.tobytes() == first.numbers.tobytes()
        last = answer(config("a", base), Ask("finish", 3, first.numbers, SETTINGS))
        assert set(last.dice) == {"shared", "shared + private"} and not len(last.numbers)
        assert last.agreement == first.agreement
    (adapter,) = tmp_path.rglob("adapter.pth")
    assert read_adapter(adapter).tuning.rank == 8
    merged = tmp_path / "merged.pth"
    merge_adapter(base, adapter, merged)
    own = read_checkpoint(adapter.with_name("checkpoint_final.pth"))["network_weights"]
    ours = read_checkpoint(merged)["network_weights"]
    for name, tensor in own.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(ours[name], tensor, atol=1e-5, rtol=1e-4)
    load_model(adapter.parents[1], PredictOptions(device="cpu"))


def test_what_a_site_cannot_train_is_refused(start: tuple[TinyData, Path], tmp_path: Path) -> None:
    tiny, base = start
    with nnunet_environment({**tiny.variables, "nnUNet_results": str(tmp_path)}):
        with pytest.raises(RefusedError, match="tunes few parameters in place"):
            Site(config("a", base, "nnUNetTrainerPromptFinetune"))
        with pytest.raises(NNUNetPromptError, match="no such trainer"):
            Site(config("a", base, "nnUNetTrainerPromptLora"))
        with pytest.raises(NNUNetPromptError, match="plans"):
            Site(NodeConfig("a", "501", base, plans="elsewhere"))
        with pytest.raises(NNUNetPromptError, match=r"none\.pth"):
            Site(config("a", tmp_path / "none.pth"))
        with pytest.raises(RefusedError, match="expected sites that start from one base, found 0"):
            federate([], PLAN)
