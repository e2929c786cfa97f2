"""The trainer: what it refuses, what it hands to nnU-Net, and what comes out of nnU-Net's own loader and pipeline."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from batchgenerators.dataloading.data_loader import DataLoader
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunet_prompt.errors import RefusedError
from nnunet_prompt.inference.capability import read_capability
from nnunet_prompt.prompts.channels import BOX, MASK, N_PROMPT_CHANNELS, POINT
from nnunet_prompt.prompts.encode import point_kernel, style_for
from nnunet_prompt.training.loss import UNKNOWN, PromptLoss
from nnunet_prompt.training.mixture import PromptMixture
from nnunet_prompt.training.trainer import PromptTrainer
from nnunet_prompt.training.transform import CaseNote, SimulatePrompts, Targets
from tests.nnunet_fixture import (
    NAMES,
    PARTLY_ANNOTATED,
    TABLE,
    TinyData,
    hand_made_dataset_json,
    hand_made_plans,
    nnunet_variables,
    tiny_data,
)

BOXES = PromptMixture(
    slices=1, volume=0, mask=0, none=0, p_jitter=0, p_sparse=0, p_box_only=1, p_points_only=0
)
CPU = torch.device("cpu")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    monkeypatch.setenv("nnUNet_compile", "f")
    # nnU-Net looks at the preprocessed files to choose it; here there are none
    where = "nnunetv2.training.nnUNetTrainer.nnUNetTrainer.infer_dataset_class"
    monkeypatch.setattr(where, lambda folder: None)
    return tmp_path


def construct(
    configuration: str = "3d_fullres",
    *,
    trainer: type[nnUNetTrainer] = PromptTrainer,
    plans: dict[str, Any] | None = None,
    dataset_json: dict[str, Any] | None = None,
) -> Any:
    plans = plans or hand_made_plans()
    return trainer(
        {**plans, "continue_training": False},
        configuration,
        0,
        dataset_json or hand_made_dataset_json(),
        CPU,
    )


@pytest.mark.usefixtures("results")
class TestConstruction:
    def test_nnunets_schedule_and_sampling_stay(self) -> None:
        ours, stock = construct(), construct(trainer=nnUNetTrainer)
        for attribute in (
            "num_epochs",
            "num_iterations_per_epoch",
            "initial_lr",
            "oversample_foreground_percent",
            "probabilistic_oversampling",
            "enable_deep_supervision",
            "save_every",
        ):
            assert getattr(ours, attribute) == getattr(stock, attribute)
        assert ours.oversample_foreground_percent == 0.33  # trap 9

    def test_cases_stay_out_of_what_is_saved(self) -> None:
        described = hand_made_dataset_json(
            replace(TABLE, annotated={"patient-7": frozenset({"ball"})})
        )
        trainer = construct(dataset_json=described)
        assert trainer.table.annotated_labels("patient-7") == {1}
        saved = json.dumps([trainer.dataset_json, trainer.my_init_kwargs], default=str)
        assert "patient-7" not in saved
        assert trainer.my_init_kwargs["dataset_json"]["nnunet_prompt"]["structures"]
        assert "patient-7" in json.dumps(described)  # the caller's is left alone

    def test_debug_information_names_no_case(self, results: Path) -> None:
        described = hand_made_dataset_json(
            replace(TABLE, annotated={"patient-7": frozenset({"ball"})})
        )
        trainer = construct(dataset_json=described)
        trainer._notes[0].case = "patient-7"  # as the loader leaves it
        trainer._save_debug_information()
        (debug,) = results.rglob("debug.json")
        assert "patient-7" not in debug.read_text()

    @pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
    def test_the_network_has_seven_more_inputs_and_nnunets_outputs(
        self, configuration: str
    ) -> None:
        trainer = construct(configuration)
        trainer.initialize()
        patch = trainer.configuration_manager.patch_size
        outputs = trainer.network(torch.zeros(1, 1 + N_PROMPT_CHANNELS, *patch))
        assert outputs[0].shape == (1, 1 + 3, *patch)
        assert trainer.num_input_channels == 1  # what nnU-Net counts are image channels

    def test_our_loss_sits_in_nnunets_deep_supervision(self) -> None:
        trainer, stock = construct(), construct(trainer=nnUNetTrainer)
        trainer.initialize()
        stock.initialize()
        assert isinstance(trainer.loss, DeepSupervisionWrapper)
        assert isinstance(trainer.loss.loss, PromptLoss)
        assert trainer.loss.weight_factors == stock.loss.weight_factors

    def test_without_deep_supervision(self) -> None:
        trainer = construct()
        trainer.enable_deep_supervision = False
        trainer.initialize()
        assert isinstance(trainer.loss, PromptLoss)

    def test_a_network_of_two_stages_has_a_loss(self) -> None:
        """nnU-Net weighs its lowest scale with 0, which leaves nothing of a network that has one scale."""
        plans = hand_made_plans()
        architecture = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
        for key in ("features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage"):
            architecture[key] = architecture[key][:2]
        architecture.update(n_stages=2, n_conv_per_stage_decoder=[1])
        trainer = construct(plans=plans)
        with np.errstate(invalid="ignore"):
            trainer.initialize()
        x = torch.zeros(1, 4, 8, 12, 12)
        assert torch.isfinite(trainer.loss([x], [torch.zeros(x.shape, dtype=torch.int8)]))

    @pytest.mark.parametrize("transpose", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
    def test_slices_are_the_first_axis_of_the_reader_wherever_nnunet_puts_it(
        self, transpose: tuple[int, int, int]
    ) -> None:
        trainer = construct(plans=hand_made_plans(transpose))
        axis = trainer.targets().slice_axis
        assert transpose[axis] == 0
        assert trainer.capability.slice_axis == axis
        assert trainer.targets().style == style_for([(4.0, 1.5, 1.25)[a] for a in transpose])

    def test_a_2d_configuration_goes_slice_by_slice(self) -> None:
        targets = construct("2d").targets()
        assert targets.slice_axis == 0
        assert targets.style == style_for((9.0, 1.5, 1.25), in_plane=True)
        assert targets.style.radii[0] < 1

    def test_mirroring_at_inference_is_the_recipes_choice(self) -> None:
        class Still(PromptTrainer):
            mirror_at_inference = False

        for recipe, expected in ((PromptTrainer, (0, 1, 2)), (Still, None)):
            trainer = construct(trainer=recipe)
            mirror_axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()[-1]
            assert mirror_axes == (0, 1, 2)  # training mirrors all the same
            assert trainer.inference_allowed_mirroring_axes == expected

    def test_the_ignore_label_reaches_the_transform(self) -> None:
        described = hand_made_dataset_json()
        described["labels"]["ignore"] = 4
        trainer = construct(dataset_json=described)
        assert trainer.targets().ignore_label == 4
        trainer.initialize()
        outputs = trainer.network(torch.zeros(1, 8, 8, 12, 12))
        assert outputs[0].shape[1] == 4  # no output for it


@pytest.mark.usefixtures("results")
class TestRefusals:
    def refusal(self, **what: Any) -> str:
        with pytest.raises(RefusedError) as caught:
            construct(**what)
        message = str(caught.value)
        assert "\n" not in message
        assert caught.value.code == message  # printed by the interpreter, with exit code 1
        return message

    def test_regions(self, results: Path) -> None:
        described = hand_made_dataset_json()
        described["labels"]["whole"] = [1, 2]
        assert "'whole'" in self.refusal(dataset_json=described)
        assert not list(results.iterdir())  # before anything is written

    def test_a_cascade(self) -> None:
        plans = hand_made_plans()
        plans["configurations"]["3d_cascade_fullres"] = {
            "inherits_from": "3d_fullres",
            "previous_stage": "3d_lowres",
        }
        message = self.refusal(plans=plans, configuration="3d_cascade_fullres")
        assert "3d_cascade_fullres" in message and "3d_fullres" in message

    def test_a_broken_block(self) -> None:
        described = hand_made_dataset_json()
        del described["nnunet_prompt"]["structures"]["ball"]["members"]
        assert "nnunet_prompt" in self.refusal(dataset_json=described)

    def test_a_wrong_length(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("nnUNet_prompt_iterations", "long")
        assert "nnUNet_prompt_iterations" in self.refusal()


@pytest.mark.usefixtures("results")
class TestValidationStep:
    def counts(self, logits: torch.Tensor, target: torch.Tensor) -> dict[str, Any]:
        trainer = construct()
        trainer.enable_deep_supervision = False
        trainer.network = lambda data: logits
        trainer.loss = PromptLoss()
        result: dict[str, Any] = trainer.validation_step({"data": logits, "target": target})
        return result

    def test_structures_first_and_the_object_last_over_known_voxels(self) -> None:
        logits = torch.tensor([[[[[5.0, 5, -5, -5]]], [[[5, -5, 5, -5]]], [[[5, 5, 5, 5]]]]])
        target = torch.tensor(
            [[[[[1, 0, 1, 0]]], [[[1, UNKNOWN, 0, 1]]], [[[UNKNOWN] * 4]]]], dtype=torch.int8
        )
        result = self.counts(logits, target)
        assert result["tp_hard"].tolist() == [1, 0, 1]
        assert result["fp_hard"].tolist() == [1, 0, 1]
        assert result["fn_hard"].tolist() == [1, 0, 1]
        assert np.isfinite(result["loss"])

    def test_an_epoch_that_shows_nothing_does_not_spoil_the_moving_average(self) -> None:
        """0 / 0 for every structure, then a good epoch: nnU-Net's best checkpoint needs a number again."""
        trainer = construct()
        nothing = {k: np.zeros(4, np.int64) for k in ("tp_hard", "fp_hard", "fn_hard")}
        good = {**nothing, "tp_hard": np.full(4, 5)}
        for epoch, counts in enumerate((good, nothing, good)):
            trainer.current_epoch = epoch
            trainer.on_validation_epoch_end([{"loss": np.array(1.0), **counts}])
        assert np.isfinite(trainer.logger.get_value("ema_fg_dice", None)).all()

    def test_structures_that_are_not_shown_stay_out_of_the_mean(self) -> None:
        trainer = construct()
        counts = {
            "tp_hard": np.array([1, 0, 3, 0]),
            "fp_hard": np.array([1, 0, 0, 0]),
            "fn_hard": np.array([1, 0, 0, 0]),
        }
        trainer.on_validation_epoch_end([{"loss": np.array(1.0), **counts}])
        assert trainer.logger.get_value("mean_fg_dice", -1) == pytest.approx((0.5 + 1.0) / 2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TinyData:
    return tiny_data(tmp_path_factory)


@pytest.fixture
def environment(data: TinyData) -> Iterator[None]:
    with nnunet_variables(data.variables):
        yield


def real(
    data: TinyData, configuration: str, *, trainer: type[nnUNetTrainer] = PromptTrainer
) -> Any:
    """A trainer on the planned data set, initialised."""
    plans, described = data.plans(), data.dataset_json()
    made = construct(configuration, trainer=trainer, plans=plans, dataset_json=described)
    made.initialize()
    return made


def check_batch(batch: dict[str, Any], patch: tuple[int, ...]) -> None:
    """What must hold for every batch, whatever was drawn."""
    image, fine = batch["data"], batch["target"][0]
    assert image.shape == (2, 1 + N_PROMPT_CHANNELS, *patch)
    assert fine.shape == (2, 1 + 3, *patch)
    assert fine.dtype == torch.int8
    prompts = image[:, 1:].numpy()
    assert prompts.min() >= 0 and prompts.max() <= 1
    for case, sample, target in zip(batch["keys"], prompts, fine.numpy(), strict=True):
        assert sample.any() == (target[0] == 1).any()
        for head in (2, 3):
            assert (target[head] == UNKNOWN).all() == (case in PARTLY_ANNOTATED)
        assert (target[:2] != UNKNOWN).all()


def check_prompt_values(prompts: npt.NDArray[Any], style: Any) -> None:
    """Masks and boxes are 0 or 1; points hold values of the kernel and nothing else, with their peak (trap 4)."""
    kernel = {0.0, *np.unique(point_kernel(style.point_shape, style.radii)).tolist()}
    for sample in prompts:
        for channel in (MASK, *BOX):
            assert set(np.unique(sample[channel]).tolist()) <= {0.0, 1.0}
        for channel in POINT:
            assert set(np.unique(sample[channel]).tolist()) <= kernel
            assert sample[channel].max() in (0.0, 1.0)


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
class TestPipeline:
    def test_batches_of_nnunets_loader(self, data: TinyData, configuration: str) -> None:
        trainer = real(data, configuration)
        patch = tuple(trainer.configuration_manager.patch_size)
        np.random.seed(1)  # noqa: NPY002
        train, validation = trainer.get_dataloaders()
        seen: set[str] = set()
        shown = np.zeros(N_PROMPT_CHANNELS, int)
        for _ in range(30):
            for loader, names in ((train, NAMES[:4]), (validation, NAMES[4:])):
                batch = next(loader)
                check_batch(batch, patch)
                prompts = batch["data"][:, 1:].numpy()
                check_prompt_values(prompts, trainer.capability.style())
                assert set(batch["keys"]) <= set(names)
                seen |= set(map(str, batch["keys"]))
                shown += prompts.reshape(2, N_PROMPT_CHANNELS, -1).any(-1).sum(0)
        assert seen == set(NAMES)
        assert (shown[[MASK, BOX[0], *POINT]] > 0).all()

    def test_prompts_are_drawn_after_all_augmentation(
        self, data: TinyData, configuration: str
    ) -> None:
        """The box of each slice is the tight box of the object as the network sees it, rotated and scaled."""
        trainer = real(data, configuration)
        trainer.mixture = BOXES
        np.random.seed(2)  # noqa: NPY002
        train, _ = trainer.get_dataloaders()
        boxes = 0
        for _ in range(15):
            batch = next(train)
            drawn = batch["data"][:, 1 + BOX[0]].numpy()
            objects = batch["target"][0][:, 0].numpy() == 1
            for one, box in zip(_slices(objects), _slices(drawn), strict=True):
                expected = np.zeros(one.shape)
                if one.any():
                    rows, columns = np.flatnonzero(one.any(1)), np.flatnonzero(one.any(0))
                    expected[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = 1
                    boxes += 1
                assert np.array_equal(box, expected)
        assert boxes > 10

    def test_images_are_what_stock_nnunet_gives(self, data: TinyData, configuration: str) -> None:
        """With the same seeds the first patch is the same as the stock trainer's: nothing else has changed."""
        first = {}
        for cls in (PromptTrainer, nnUNetTrainer):
            trainer = real(data, configuration, trainer=cls)
            trainer.was_initialized = True
            np.random.seed(3)  # noqa: NPY002
            torch.manual_seed(3)
            train, validation = trainer.get_dataloaders()
            assert train.data_loader.oversample_foreground_percent == 0.33
            assert validation.data_loader.oversample_foreground_percent == 0.33
            np.random.seed(3)  # noqa: NPY002
            torch.manual_seed(3)
            first[cls] = next(train)
        ours, stock = first[PromptTrainer], first[nnUNetTrainer]
        assert torch.equal(ours["data"][0, 0], stock["data"][0, 0])
        labels = stock["target"][0][0, 0]
        known = 1 if ours["keys"][0] in PARTLY_ANNOTATED else 3
        for label in range(1, known + 1):
            assert torch.equal(ours["target"][0][0, label] == 1, labels == label)
        for a, b in zip(ours["target"], stock["target"], strict=True):  # deep supervision
            assert a.shape[2:] == b.shape[2:]
            assert torch.equal(a[0, 1] == 1, b[0, 0] == 1)

    def test_steps_learn(self, data: TinyData, configuration: str) -> None:
        trainer = real(data, configuration)
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        train, validation = trainer.get_dataloaders()
        trainer.set_deep_supervision_enabled(True)
        trainer.lr_scheduler.step(0)
        before = copy.deepcopy(trainer.network.state_dict())
        losses = [float(trainer.train_step(next(train))["loss"]) for _ in range(3)]
        assert np.isfinite(losses).all()
        after = trainer.network.state_dict()
        assert all(not torch.equal(before[k], after[k]) for k in before if "seg_layers.1." in k)
        trainer.network.eval()
        with torch.no_grad():
            result = trainer.validation_step(next(validation))
        assert np.isfinite(result["loss"])
        assert {len(result[k]) for k in ("tp_hard", "fp_hard", "fn_hard")} == {4}


def _slices(volumes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """All slices of a batch of patches of two or three axes."""
    return volumes.reshape(-1, *volumes.shape[-2:])


# stopped while it fetches a batch, the augmenter's own thread ends with an exception
stopping = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@stopping
@pytest.mark.slow
def test_worker_processes_know_their_cases(data: TinyData) -> None:
    with nnunet_variables({**data.variables, "nnUNet_n_proc_DA": "2"}):
        trainer = real(data, "3d_fullres")
        patch = tuple(trainer.configuration_manager.patch_size)
        train, validation = trainer.get_dataloaders()
        try:
            assert train.num_processes == 2
            batches = [next(train) for _ in range(16)]
        finally:
            train._finish()
            validation._finish()
    for batch in batches:
        check_batch(batch, patch)
    keys = {key for batch in batches for key in batch["keys"]}
    assert keys & set(PARTLY_ANNOTATED) and keys - set(PARTLY_ANNOTATED)


class _OneSample(DataLoader):
    """Always the same sample; only the prompts differ."""

    def __init__(self, step: SimulatePrompts) -> None:
        super().__init__(None, 1, 1, None, True, False, True)
        self.step = step

    def generate_train_batch(self) -> dict[str, Any]:
        labels = torch.ones((1, 1, 40, 40), dtype=torch.int16)
        return self.step(image=torch.zeros((1, 1, 40, 40)), segmentation=labels)  # type: ignore[no-any-return]


@stopping
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork in a process with threads
def test_no_two_workers_draw_the_same_prompts() -> None:
    mixture = replace(BOXES, p_box_only=0, p_points_only=1)
    step = SimulatePrompts(Targets(TABLE, style_for((1, 1, 1)), mixture), CaseNote())
    workers = NonDetMultiThreadedAugmenter(_OneSample(step), None, 2, num_cached=4)
    try:
        drawn = [next(workers)["image"][1 + POINT[0]].numpy().tobytes() for _ in range(12)]
    finally:
        workers._finish()
    assert len(set(drawn)) == len(drawn)


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
def test_the_capability_file_is_written_with_the_training(data: TinyData) -> None:
    trainer = real(data, "3d_fullres")
    trainer.on_train_start()
    folder = Path(trainer.output_folder_base)
    assert read_capability(folder) == trainer.capability
    written = json.loads((folder / "dataset.json").read_text())
    assert "cases" not in written["nnunet_prompt"]
    for path in (folder / "dataset.json", folder / "plans.json", folder / "fold_0" / "debug.json"):
        assert not any(name in path.read_text() for name in NAMES)
