"""Weights of every family start a promptable training: through nnU-Net's own loader, with heads and licence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import Tensor, nn

from nnunet_prompt.common.errors import DatasetError, ModelError, OutputError
from nnunet_prompt.networks.adapter_file import ABOUT, Adapter, write_adapter
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.networks.experts import add_experts, is_of_experts
from nnunet_prompt.networks.provenance import (
    OWN_LICENCE,
    UNKNOWN_LICENCE,
    Origin,
    Points,
    pack,
    points_of,
    provenance_of,
)
from nnunet_prompt.networks.spatial_adapter import add_spatial_adapter
from nnunet_prompt.networks.tensor_names import stock_names
from nnunet_prompt.networks.tunable import Tuning
from nnunet_prompt.weights.adapt import AdaptOptions, adapt_checkpoint, image_columns
from nnunet_prompt.weights.report import AdaptReport
from nnunet_prompt.weights.source_model import STEMS
from tests.helpers.each import each
from tests.helpers.models import hand_made_plans
from tests.helpers.schemas import check_form
from tests.weights.sources import (
    DATASET_ID,
    PATCH,
    checkpoint_in,
    edit,
    multitalent_model,
    nninteractive_model,
    nnssl_checkpoint,
    nnunet_folders,
    nnunet_network,
    nnUNetTrainer_4000epochs_NoMirroring,
    planned_dataset,
    plans_of,
    prefixed,
    prompt_trainer,
    source_dataset,
    source_plans,
    trained_model,
)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nnunet_folders(tmp_path, monkeypatch)


def plain(root: Path) -> Path:
    return trained_model(root / "source", source_plans("plain"), source_dataset())


def residual(root: Path) -> Path:
    return trained_model(root / "source", source_plans("residual"), source_dataset())


def totalsegmentator(root: Path) -> Path:
    return trained_model(
        root / "source",
        source_plans("plain", "Dataset297_TotalSegmentator_total_3mm_1559subj"),
        source_dataset(("CT",)),
        trainer=nnUNetTrainer_4000epochs_NoMirroring,
    )


def sigmoid(root: Path) -> Path:
    """Regions: a sigmoid for each, none for the background."""
    described = source_dataset(background=0, whole=[1, 2], ball=[1])
    described["regions_class_order"] = [1, 2]
    return trained_model(root / "source", source_plans("plain"), described)


def nnssl(root: Path) -> Path:
    return nnssl_checkpoint(root / "openmind" / "checkpoint_final.pth")


def multitalent(root: Path) -> Path:
    return multitalent_model(root / "source", ("617",))


def nninteractive(root: Path) -> Path:
    return nninteractive_model(root / "source")


FAMILIES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nnunet plain": (plain, "plain"),
    "nnunet residual": (residual, "residual"),
    "nnunet sigmoid": (sigmoid, "plain"),
    "totalsegmentator": (totalsegmentator, "plain"),
    "nnssl": (nnssl, "residual"),
    "multitalent": (multitalent, "residual"),
    "nninteractive": (nninteractive, "residual"),
}
WITHOUT_PROMPTS = [f for f in FAMILIES if f != "nninteractive"]
WITH_DECODER = [f for f in FAMILIES if f != "nnssl"]


def adapted(root: Path, family: str, **options: Any) -> tuple[Any, AdaptReport, Path]:
    """Our trainer after nnU-Net's loader read the start checkpoint; the report; the source."""
    make, kind = FAMILIES[family]
    source = make(root)
    folder = planned_dataset(root, plans_of(kind))
    report = adapt_checkpoint(
        source, DATASET_ID, root / "start.pth", options=AdaptOptions(**options)
    )
    trainer = prompt_trainer(folder)
    load_pretrained_weights(trainer.network, str(root / "start.pth"))
    trainer.network.eval()
    return trainer, report, source


def source_network(source: Path, kind: str, inputs: int = 1, outputs: int = 3) -> nn.Module:
    network = nnunet_network(source_plans(kind), inputs, outputs)
    network.load_state_dict(read_checkpoint(checkpoint_in(source))["network_weights"])
    return network


def image(channels: int = 1) -> Tensor:
    return torch.randn((1, channels, *PATCH), generator=torch.Generator().manual_seed(1))


def prompts() -> Tensor:
    return torch.rand((1, 7, *PATCH), generator=torch.Generator().manual_seed(2))


def logits(network: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        output = network(x)
    result: Tensor = output[0] if isinstance(output, (list, tuple)) else output
    return result


def features(network: nn.Module, x: Tensor) -> Tensor:
    """What the last stage of the decoder hands to the output layer."""
    seen: list[Tensor] = []
    stage = network.get_submodule("decoder.stages")[-1]  # type: ignore[index]
    handle = stage.register_forward_hook(lambda module, given, output: seen.append(output))
    logits(network, x)
    handle.remove()
    return seen[0]


@each("family", WITHOUT_PROMPTS)
def test_prompts_change_no_logit_at_the_start(tmp_path: Path, family: str) -> None:
    network = adapted(tmp_path, family)[0].network
    silent = torch.cat([image(), torch.zeros_like(prompts())], 1)
    loud = torch.cat([image(), prompts()], 1)
    with torch.no_grad():
        for one, other in zip(network(silent), network(loud), strict=True):
            assert torch.equal(one, other)  # bit for bit, at every scale
    assert logits(network, silent).std() > 0


@each("family", WITH_DECODER)
def test_the_image_path_is_that_of_the_source(tmp_path: Path, family: str) -> None:
    trainer, _, source = adapted(tmp_path, family)
    kind = FAMILIES[family][1]
    if family == "multitalent":
        edit(checkpoint_in(source), lambda c: c.update(network_weights=_of_nnunet(c)))
    interactive = family == "nninteractive"
    outputs = 2 if family in ("nninteractive", "nnunet sigmoid") else 3
    theirs = source_network(source, kind, 8 if interactive else 1, outputs)
    x = torch.cat([image(), prompts()], 1)
    torch.testing.assert_close(
        features(trainer.network, x),
        features(theirs, x if interactive else x[:, :1]),
        atol=1e-5,
        rtol=1e-5,
    )


def _of_nnunet(content: dict[str, Any]) -> dict[str, Tensor]:
    return {n.replace(".617.", "."): v for n, v in content["network_weights"].items()}


@each(
    ("family", "plus", "minus"),
    [("nnunet plain", 1, 0), ("nnunet residual", 1, 0), ("nnunet sigmoid", 1, None)],
)
def test_a_structure_of_the_same_name_keeps_its_logit(
    tmp_path: Path, family: str, plus: int, minus: int | None
) -> None:
    """Structure 2 is "ball", which the source calls "Ball": its class less the background, or its region."""
    trainer, report, source = adapted(tmp_path, family)
    outputs = 2 if minus is None else 3
    theirs = logits(source_network(source, FAMILIES[family][1], 1, outputs), image())
    expected = theirs[:, plus] - (theirs[:, minus] if minus is not None else 0)
    ours = logits(trainer.network, torch.cat([image(), prompts()], 1))
    torch.testing.assert_close(ours[:, 2], expected, atol=1e-5, rtol=1e-5)
    heads = [e for e in report.entries if e.name.startswith("heads.") and e.action != "unused"]
    assert len(heads) == 4 and {e.action for e in heads} == {"widened"}
    assert heads[0].note == "from the source: ball; newly initialised: object, core"


def test_the_object_of_nninteractive_is_its_foreground_less_its_background(tmp_path: Path) -> None:
    trainer, report, source = adapted(tmp_path, "nninteractive")
    theirs = source_network(source, "residual", 8, 2)
    for x in (torch.cat([image(), prompts()], 1), torch.cat([image(), 0 * prompts()], 1)):
        expected = logits(theirs, x)
        object_logit = logits(trainer.network, x)[:, 0]
        torch.testing.assert_close(
            object_logit, expected[:, 1] - expected[:, 0], atol=1e-5, rtol=1e-5
        )
    assert report.source.origins[0].licence == "CC BY-NC-SA 4.0"
    report.write(tmp_path / "report.json")
    check_form("adapt_report", tmp_path / "report.json")
    stem = next(e for e in report.entries if e.name in STEMS)
    assert (stem.action, stem.note) == (
        "copied",
        "image image 0 from image; prompt channels kept",
    )


def test_every_name_of_the_stem_holds_the_same(tmp_path: Path) -> None:
    adapted(tmp_path, "nnunet residual")
    weights = read_checkpoint(tmp_path / "start.pth")["network_weights"]
    stems = [v for n, v in weights.items() if v.ndim == 5 and v.shape[:2] == (4, 8) and "stem" in n]
    assert len(stems) == 4
    for weight in stems:
        assert torch.equal(weight, stems[0])
        assert torch.count_nonzero(weight[:, 1:]) == 0 and weight[:, :1].all()
    assert len({v.data_ptr() for v in stems}) == 1  # stored once


@each("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_wrappers_leave_their_prefix_behind(tmp_path: Path, prefix: str) -> None:
    source = checkpoint_in(plain(tmp_path))
    planned_dataset(tmp_path, plans_of("plain"))
    options = AdaptOptions(licence="mine")
    torch.manual_seed(0)
    adapt_checkpoint(source, DATASET_ID, tmp_path / "a.pth", options=options)
    edit(source, prefixed(prefix))
    torch.manual_seed(0)
    adapt_checkpoint(source, DATASET_ID, tmp_path / "b.pth", options=options)
    a, b = (read_checkpoint(tmp_path / f"{n}.pth")["network_weights"] for n in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a if name != "provenance")


def test_heads_and_licence_reach_what_is_trained(tmp_path: Path) -> None:
    """nnU-Net's loader drops names with `.seg_layers.` and reads `network_weights` only."""
    trainer, report, _ = adapted(tmp_path, "nnunet plain", licence="CC BY 4.0 (theirs)")
    start = read_checkpoint(tmp_path / "start.pth")["network_weights"]
    trainer.save_checkpoint(str(tmp_path / "trained.pth"))
    saved = read_checkpoint(tmp_path / "trained.pth")["network_weights"]
    assert list(saved) == list(start)
    assert all(torch.equal(saved[name], start[name]) for name in start)
    (origin,) = provenance_of(saved)
    assert origin.licence == "CC BY 4.0 (theirs)" and origin.family == "nnunet"
    assert origin.name == "source/fold_0/checkpoint_final.pth" or origin.name.endswith(
        "/source/fold_0/checkpoint_final.pth"
    )
    assert len(origin.sha256) == 64 and report.source.origins == (origin,)
    again = prompt_trainer(tmp_path / "preprocessed" / "Dataset501_Tiny")
    again.load_checkpoint(str(tmp_path / "trained.pth"))
    assert provenance_of(again.network.state_dict()) == (origin,)


def test_the_licence_is_printed_when_training_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer, _, _ = adapted(tmp_path, "nninteractive")
    monkeypatch.setattr(nnUNetTrainer, "on_train_start", lambda self: None)
    monkeypatch.setattr("nnunet_prompt.training.trainer.one_component", lambda _: ())
    capsys.readouterr()
    trainer.on_train_start()
    assert "(nninteractive); its licence" in capsys.readouterr().out
    assert "CC BY-NC-SA 4.0" in Path(trainer.log_file).read_text()


def test_a_model_of_ours_keeps_all_of_its_heads_and_its_origins(tmp_path: Path) -> None:
    trainer, _, _ = adapted(tmp_path, "nnunet plain", licence="first")
    trainer.save_checkpoint(str(tmp_path / "trained.pth"))
    with torch.no_grad():
        for parameter in trainer.network.parameters():
            parameter += 0.1
    trainer.save_checkpoint(str(tmp_path / "trained.pth"))
    report = adapt_checkpoint(
        tmp_path / "trained.pth", DATASET_ID, tmp_path / "next.pth", options=AdaptOptions()
    )
    trained, after = (
        read_checkpoint(tmp_path / f"{n}.pth")["network_weights"] for n in ("trained", "next")
    )
    assert all(torch.equal(trained[n], after[n]) for n in trained if n != "provenance")
    assert report.counts["new"] == report.counts["widened"] == report.counts["unused"] == 0
    assert [o.family for o in provenance_of(after)] == ["nnunet_prompt", "nnunet"]
    assert [o.licence for o in provenance_of(after)] == [OWN_LICENCE, "first"]


def test_a_spatial_adapter_is_not_carried_over_and_said_to_be(tmp_path: Path) -> None:
    trainer, report, _ = adapted(tmp_path, "nnunet plain")
    assert not any("spatial" in line for line in report.warnings)
    add_spatial_adapter(trainer.network)
    trainer.save_checkpoint(str(tmp_path / "tuned.pth"))
    report = adapt_checkpoint(tmp_path / "tuned.pth", DATASET_ID, tmp_path / "next.pth")
    (line,) = report.warnings
    assert line.startswith("the source has a spatial adapter: it is not carried over, and the")
    assert "adapt instead the base that it was tuned from" in line and "\n" not in line
    heads = {e.name: e.action for e in report.entries if e.name.startswith("heads.")}
    assert heads["heads.1.weight"] == "new" and heads["heads.0.weight"] == "copied"
    lost = [e.name for e in report.entries if e.action == "unused"]
    assert lost and all(name.startswith("spatial_adapter.") for name in lost)


def test_experts_are_not_carried_over_and_said_to_be(tmp_path: Path) -> None:
    trainer, report, _ = adapted(tmp_path, "nnunet plain")
    assert not any("experts" in line for line in report.warnings)
    add_experts(trainer.network)
    trainer.network.shows_added = True  # as when training begins
    trainer.save_checkpoint(str(tmp_path / "tuned.pth"))
    report = adapt_checkpoint(tmp_path / "tuned.pth", DATASET_ID, tmp_path / "next.pth")
    (line,) = report.warnings
    assert line.startswith("the source has experts, which are mixed for each image: they are not")
    lost = [e.name for e in report.entries if e.action == "unused"]
    assert lost and all(is_of_experts(name) for name in lost)


def test_the_points_of_the_source_are_carried(tmp_path: Path) -> None:
    trainer, report, _ = adapted(tmp_path, "nninteractive")
    assert points_of(trainer.network.state_dict()) == Points(metric="voxel")
    assert report.warnings[-1] == (
        "the source knows points as edt, radius 4 voxels along every axis: trainings from here draw them so, unless a"
        " trainer states otherwise"
    )
    ball = Points("ball", 3.0)
    trainer.network.provenance.copy_(pack((), ball))
    trainer.save_checkpoint(str(tmp_path / "trained.pth"))
    adapt_checkpoint(tmp_path / "trained.pth", DATASET_ID, tmp_path / "next.pth")
    weights = read_checkpoint(tmp_path / "next.pth")["network_weights"]
    assert points_of(weights) == ball and len(provenance_of(weights)) == 1


def test_the_radius_of_an_interactive_model_is_that_of_its_file(tmp_path: Path) -> None:
    source = nninteractive(tmp_path)
    planned_dataset(tmp_path, plans_of("residual"))
    info = source / "inference_info.json"
    for text, radius in (('{"point_radius": 6}', 6.0), ("[]", 4.0)):
        info.write_text(text)
        report = adapt_checkpoint(source, DATASET_ID, tmp_path / "start.pth")
        assert report.source.points == Points(radius=radius, metric="voxel")
    for text in ("{", '{"point_radius": 0}'):
        info.write_text(text)
        with pytest.raises(ModelError, match=r"inference_info|no such points"):
            adapt_checkpoint(source, DATASET_ID, tmp_path / "start.pth")


def test_origins_survive_an_export(tmp_path: Path) -> None:
    origin = Origin("toy v1", "nninteractive", "CC BY-NC-SA 4.0", "ab12")
    source = plain(tmp_path)
    edit(checkpoint_in(source), lambda c: c.update(provenance=[asdict(origin)]))
    planned_dataset(tmp_path, plans_of("plain"))
    adapt_checkpoint(source, DATASET_ID, tmp_path / "start.pth")
    own, earlier = provenance_of(read_checkpoint(tmp_path / "start.pth")["network_weights"])
    assert own.family == "nnunet" and earlier == origin


def test_an_encoder_starts_with_a_fresh_decoder(tmp_path: Path) -> None:
    trainer, report, source = adapted(tmp_path, "nnssl")
    theirs = read_checkpoint(source)["network_weights"]
    ours = stock_names(trainer.network.state_dict())
    for name, value in theirs.items():
        if name.startswith("encoder.") and value.shape == ours[name].shape:
            assert torch.equal(ours[name], value)
            assert torch.equal(ours[f"decoder.{name}"], value)
    assert not torch.equal(
        ours["decoder.stages.0.convs.0.conv.weight"], theirs["decoder.stages.0.convs.0.conv.weight"]
    )
    assert report.counts["new"] > 0 and report.source.origins[0].licence == "CC BY 4.0"
    assert any(
        e.action == "unused" and e.name == "pretraining.decoder.transpconvs.0.weight"
        for e in report.entries
    )
    assert "decoder is newly initialised" in report.warnings[0]


@each("prefix", ["network.encoder.", "encoder.", "model.student.encoder."])
def test_the_encoder_is_found_where_its_plan_says(tmp_path: Path, prefix: str) -> None:
    source = nnssl_checkpoint(tmp_path / "c.pth", prefix=prefix)
    planned_dataset(tmp_path, plans_of("residual"))
    adapt_checkpoint(source, DATASET_ID, tmp_path / "start.pth")
    theirs = read_checkpoint(source)["network_weights"]
    ours = read_checkpoint(tmp_path / "start.pth")["network_weights"]
    name = "stages.1.blocks.0.conv1.conv.weight"
    assert torch.equal(ours[f"encoder.{name}"], theirs[prefix + name])
    assert torch.equal(ours[STEMS[0]][:, :1], theirs[f"{prefix}stem.convs.0.conv.weight"])


def test_the_chosen_stem_of_a_multi_stem_model(tmp_path: Path) -> None:
    source = multitalent_model(tmp_path / "source")
    planned_dataset(tmp_path, plans_of("residual"))
    theirs = read_checkpoint(checkpoint_in(source))["network_weights"]
    with pytest.raises(ModelError, match=r"--stem, of 035, 351_5"):
        adapt_checkpoint(source, DATASET_ID, tmp_path / "start.pth")
    with pytest.raises(ModelError, match=r"no stem '36'"):
        adapt_checkpoint(
            source, DATASET_ID, tmp_path / "start.pth", options=AdaptOptions(stem="36")
        )
    assert not (tmp_path / "start.pth").exists()
    report = adapt_checkpoint(
        source, DATASET_ID, tmp_path / "start.pth", options=AdaptOptions(stem="351_5")
    )
    ours = read_checkpoint(tmp_path / "start.pth")["network_weights"]
    expected = theirs["encoder.stem.351_5.convs.0.conv.weight"]
    assert torch.equal(ours[STEMS[0]][:, :1], expected)
    assert "no structure names" in report.warnings[0]
    heads = [e for e in report.entries if e.name.startswith("heads.")]
    assert {e.action for e in heads} == {"new"}


class TestChannels:
    def test_extra_images_repeat_and_divide(self, tmp_path: Path) -> None:
        source = plain(tmp_path)
        planned_dataset(tmp_path, plans_of("plain"), channels=3)
        report = adapt_checkpoint(source, DATASET_ID, tmp_path / "start.pth")
        theirs = read_checkpoint(checkpoint_in(source))["network_weights"][STEMS[1]]
        ours = read_checkpoint(tmp_path / "start.pth")["network_weights"][STEMS[1]]
        for channel in range(3):
            assert torch.equal(ours[:, channel], theirs[:, 0] / 3)
        assert ours.shape[1] == 10 and torch.count_nonzero(ours[:, 3:]) == 0
        stem = next(e for e in report.entries if e.name == STEMS[1])
        assert stem.note == (
            "image image 0 from MR / 3, image 1 from MR / 3, image 2 from MR / 3; prompt channels zero"
        )

    @each(
        ("source", "target", "n", "columns"),
        [
            (("T1", "T2"), ("T2", "T1"), 2, [1, 0]),
            (("T1", "T2"), ("t2",), 2, [1]),
            (("T1", "T2"), ("a", "b"), 2, [0, 1]),
            (("T1", "T2"), ("a", "b", "c"), 2, [0, 1, 0]),
            (("T1",), ("T1", "T1"), 1, [0, 0]),
            ((), ("a",), 1, [0]),
        ],
    )
    def test_by_name_else_in_order(
        self, source: tuple[str, ...], target: tuple[str, ...], n: int, columns: list[int]
    ) -> None:
        assert image_columns(source, target, n) == columns

    def test_fewer_images_of_other_names_are_refused(self) -> None:
        with pytest.raises(ModelError, match=r"2 images \(T1, T2\), the data set has 1 \(CT\)"):
            image_columns(("T1", "T2"), ("CT",), 2)


class TestRefusals:
    def refusal(self, root: Path, source: Path, **options: Any) -> str:
        with pytest.raises((ModelError, DatasetError)) as caught:
            adapt_checkpoint(
                source, DATASET_ID, root / "start.pth", options=AdaptOptions(**options)
            )
        message = str(caught.value)
        assert "\n" not in message and not (root / "start.pth").exists()
        return message

    def test_other_features(self, tmp_path: Path) -> None:
        plans = plans_of("plain")
        kwargs = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
        kwargs["features_per_stage"] = [4, 8, 16]
        planned_dataset(tmp_path, plans)
        message = self.refusal(tmp_path, plain(tmp_path))
        assert "is (12, 8, 3, 3, 3) there and (16, 8, 3, 3, 3) here" in message
        assert f"weights plan {tmp_path / 'source/fold_0/checkpoint_final.pth'} -d 501" in message
        assert "features [4, 8, 12]" in message

    def test_other_strides_that_no_shape_shows(self, tmp_path: Path) -> None:
        plans = plans_of("residual")
        kwargs = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
        kwargs["strides"] = [[1, 1, 1], [1, 2, 2], [2, 2, 2]]
        planned_dataset(tmp_path, plans)
        message = self.refusal(tmp_path, nnssl(tmp_path))
        assert "strides is" in message and "weights plan" in message

    def test_another_encoder(self, tmp_path: Path) -> None:
        planned_dataset(tmp_path, plans_of("residual"))
        assert "missing there" in self.refusal(tmp_path, plain(tmp_path))

    def test_a_transformer(self, tmp_path: Path) -> None:
        planned_dataset(tmp_path, plans_of("residual"))
        source = nnssl_checkpoint(tmp_path / "c.pth", arch_class_name="PrimusM", arch_kwargs=None)
        assert "PrimusM" in self.refusal(tmp_path, source)

    def test_an_interactive_model_of_another_layout(self, tmp_path: Path) -> None:
        source = nninteractive(tmp_path)
        (source / "dataset.json").write_text(json.dumps(source_dataset(("a", "b"))))
        planned_dataset(tmp_path, plans_of("residual"))
        assert "2 image channel(s) and 7 prompt channels" in self.refusal(tmp_path, source)

    def test_a_checkpoint_without_its_plans(self, tmp_path: Path) -> None:
        path = edit(checkpoint_in(plain(tmp_path)), lambda c: c.pop("init_args"))
        lonely = tmp_path / "lonely.pth"
        path.rename(lonely)
        planned_dataset(tmp_path, plans_of("plain"))
        assert "has no plans" in self.refusal(tmp_path, lonely)

    def test_a_data_set_that_is_not_planned(self, tmp_path: Path) -> None:
        source = plain(tmp_path)
        assert "nnUNetv2_plan_and_preprocess -d 501" in self.refusal(tmp_path, source)
        planned_dataset(tmp_path, plans_of("plain"))
        assert "otherPlans.json: not found" in self.refusal(tmp_path, source, plans="otherPlans")
        assert "2d" in self.refusal(tmp_path, source, configuration="2d")

    def test_an_adapter(self, tmp_path: Path) -> None:
        planned_dataset(tmp_path, plans_of("plain"))
        about = dict.fromkeys(ABOUT)
        path = tmp_path / "adapter.pth"
        write_adapter(path, Adapter(Tuning("lora"), "ab" * 32, {"x": torch.zeros(2)}, about))
        message = self.refusal(tmp_path, path)
        assert message.startswith(f"{path}: an adapter (lora), which holds only what a tuning")
        assert f"`nnunet-prompt weights merge BASE {path} -o OUT`" in message

    def test_the_source_is_not_overwritten(self, tmp_path: Path) -> None:
        source = checkpoint_in(plain(tmp_path))
        before = source.read_bytes()
        with pytest.raises(ModelError, match="source itself"):
            adapt_checkpoint(source, DATASET_ID, source)
        assert source.read_bytes() == before

    def test_a_label_beyond_the_outputs(self, tmp_path: Path) -> None:
        planned_dataset(tmp_path, plans_of("plain"))
        source = plain(tmp_path)

        def mislabel(content: dict[str, Any]) -> None:
            content["init_args"]["dataset_json"]["labels"]["Ball"] = 9

        edit(checkpoint_in(source), mislabel)
        assert "output 9, but it has 3 outputs" in self.refusal(tmp_path, source)


def test_the_report_counts_every_tensor_once(tmp_path: Path) -> None:
    trainer, report, _ = adapted(tmp_path, "nnunet plain")
    tensors = {v.data_ptr() for v in trainer.network.state_dict().values()}
    assert report.counts == {
        "copied": len(tensors) - 1 - 1 - 4,  # the provenance, the stem, two output layers
        "widened": 5,
        "new": 0,
        "unused": 0,
    }
    report.write(tmp_path / "report.json")
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["counts"] == report.counts and content["family"] == "nnunet"
    assert len(content["tensors"]) == sum(report.counts.values())
    assert content["origins"][0]["licence"] == UNKNOWN_LICENCE


def test_other_intensities_and_spacings_are_pointed_out(tmp_path: Path) -> None:
    source = plain(tmp_path)
    plans = plans_of("plain")
    settings = plans["configurations"]["3d_fullres"]
    settings["spacing"] = [5.0, 1.0, 1.0]
    settings["normalization_schemes"] = ["CTNormalization"]
    planned_dataset(tmp_path, plans)
    report = adapt_checkpoint(source, DATASET_ID, tmp_path / "start.pth")
    assert report.warnings == (
        "the source was trained with the spacing [4.0, 1.5, 1.25], these plans have [5.0, 1.0, 1.0]",
        "the source was trained with the normalisation ['ZScoreNormalization'], these plans have"
        " ['CTNormalization']",
    )


def test_a_network_in_two_dimensions(tmp_path: Path) -> None:
    plans = hand_made_plans()
    del plans["configurations"]["3d_fullres"]
    source = trained_model(tmp_path / "source", plans, source_dataset())
    folder = planned_dataset(tmp_path, plans)
    adapt_checkpoint(
        source, DATASET_ID, tmp_path / "start.pth", options=AdaptOptions(configuration="2d")
    )
    trainer = prompt_trainer(folder, "2d")
    load_pretrained_weights(trainer.network, str(tmp_path / "start.pth"))
    theirs = nnunet_network(plans, 1, 3)
    theirs.load_state_dict(read_checkpoint(checkpoint_in(source))["network_weights"])
    x = torch.cat([image()[:, :, 0], prompts()[:, :, 0]], 1)
    expected = logits(theirs, x[:, :1])
    ball = logits(trainer.network.eval(), x)[:, 2]
    torch.testing.assert_close(ball, expected[:, 1] - expected[:, 0], atol=1e-5, rtol=1e-5)


def test_an_old_plan_is_understood(tmp_path: Path) -> None:
    """TotalSegmentator's first models were planned by nnU-Net 2.1."""
    source = totalsegmentator(tmp_path)

    def aged(content: dict[str, Any]) -> None:
        settings = content["init_args"]["plans"]["configurations"]["3d_fullres"]
        kwargs = settings.pop("architecture")["arch_kwargs"]
        settings |= {
            "UNet_class_name": "PlainConvUNet",
            "UNet_base_num_features": 4,
            "unet_max_num_features": 12,
            "n_conv_per_stage_encoder": kwargs["n_conv_per_stage"],
            "n_conv_per_stage_decoder": kwargs["n_conv_per_stage_decoder"],
            "num_pool_per_axis": [2, 2, 2],
            "pool_op_kernel_sizes": kwargs["strides"],
            "conv_kernel_sizes": kwargs["kernel_sizes"],
        }

    edit(checkpoint_in(source), aged)
    planned_dataset(tmp_path, plans_of("plain"))
    report = adapt_checkpoint(source, DATASET_ID, tmp_path / "start.pth")
    assert report.source.architecture["features_per_stage"] == [4, 8, 12]
    assert report.source.origins[0].licence == "Apache-2.0"


def test_nothing_of_the_source_or_the_data_set_is_replaced(tmp_path: Path) -> None:
    source = plain(tmp_path)
    folder = planned_dataset(tmp_path, plans_of("plain"))
    (checkpoint,) = source.glob("fold_*/*.pth")
    (source / "fold_1").mkdir()
    outputs = [source / "plans.json", source / "fold_1" / "start.pth", folder / "nnUNetPlans.json"]
    before = [p.read_bytes() if p.exists() else None for p in outputs]
    for output in outputs:
        with pytest.raises(OutputError, match="never written to: give another place with -o"):
            adapt_checkpoint(checkpoint, DATASET_ID, output)
    assert [p.read_bytes() if p.exists() else None for p in outputs] == before
