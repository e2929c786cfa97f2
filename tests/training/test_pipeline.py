"""What comes out of nnU-Net's own loader and augmentation, in this process and in workers."""

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
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunet_prompt.networks.capability import read_capability
from nnunet_prompt.prompts.channels import BOX, MASK, N_PROMPT_CHANNELS, POINT, SCRIBBLE
from nnunet_prompt.prompts.encode import point_kernel, style_for
from nnunet_prompt.training.loss import UNKNOWN
from nnunet_prompt.training.mixture import PromptMixture
from nnunet_prompt.training.trainer import PromptTrainer
from nnunet_prompt.training.transform import CaseNote, SimulatePrompts, Targets
from tests.helpers.models import TABLE, make_trainer
from tests.helpers.tiny_data import NAMES, PARTLY_ANNOTATED, TinyData, nnunet_variables, tiny_data

pytestmark = pytest.mark.slow
BOXES = PromptMixture(
    promptless=0,
    few=0,
    slices=1,
    scribbles=0,
    mask=0,
    continued=0,
    p_jitter=0,
    p_sparse=0,
    p_negative_area=0,
    p_box_only=1,
    p_points_only=0,
    refine=0,
    hide=False,
)
BATCH = 4  # of the tiny plans


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
    """A trainer on the planned data set, initialised; it hides no structure that is pointed at."""
    plans, described = data.plans(), data.dataset_json()
    made = make_trainer(configuration, trainer=trainer, plans=plans, dataset_json=described)
    if isinstance(made, PromptTrainer):
        made.mixture = replace(made.mixture, hide=False)  # of this instance alone
    made.initialize()
    return made


def check_batch(batch: dict[str, Any], patch: tuple[int, ...]) -> None:
    """What must hold for every batch, whatever was drawn."""
    image, fine = batch["data"], batch["target"][0]
    assert image.shape == (BATCH, 1 + N_PROMPT_CHANNELS, *patch)
    assert fine.shape == (BATCH, 1 + 3, *patch)
    assert fine.dtype == torch.int8
    prompts = image[:, 1:].numpy()
    assert prompts.min() >= 0 and prompts.max() <= 1
    for case, sample, target in zip(batch["keys"], prompts, fine.numpy(), strict=True):
        assert sample.any() == (target[0] == 1).any() == (target[0] != UNKNOWN).any()
        for head in (2, 3):
            assert (target[head] == UNKNOWN).all() == (case in PARTLY_ANNOTATED)
        assert (target[1] != UNKNOWN).all()
        assert len({*np.unique(target[0])} & {UNKNOWN, 0}) == 1  # all of it known, or nothing


def check_prompt_values(prompts: npt.NDArray[Any], style: Any) -> None:
    """Masks and boxes are 0 or 1; points hold values of the kernel and nothing else, with their peak (trap 4)."""
    kernel = {0.0, *np.unique(point_kernel(style.point_shape, style.radii)).tolist()}
    for sample in prompts:
        for channel in (MASK, *BOX, *SCRIBBLE):
            assert set(np.unique(sample[channel]).tolist()) <= {0.0, 1.0}
        for channel in POINT:
            assert set(np.unique(sample[channel]).tolist()) <= kernel
            assert sample[channel].max() in (0.0, 1.0)


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
                shown += prompts.reshape(BATCH, N_PROMPT_CHANNELS, -1).any(-1).sum(0)
        assert seen == set(NAMES)
        assert (shown[[MASK, BOX[0], *POINT, SCRIBBLE[0]]] > 0).all()

    def test_prompts_are_drawn_after_all_augmentation(
        self, data: TinyData, configuration: str
    ) -> None:
        """The box of each slice is the tight box of the object as the network sees it, rotated and scaled."""
        trainer = real(data, configuration)
        trainer.mixture = BOXES  # of this instance alone
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

    def test_slots_of_a_batch_take_turns(self, data: TinyData, configuration: str) -> None:
        """So that samples centred on foreground, which nnU-Net puts last, are shown prompts as often as others."""
        trainer = real(data, configuration)
        np.random.seed(4)  # noqa: NPY002
        train, validation = trainer.get_dataloaders()
        for loader in (train, validation):
            wanted = []
            for _ in range(6):
                target = next(loader)["target"][0]
                filled = [(target[b, 1:] == 1).any().item() for b in range(BATCH)]
                known = (target[:, 0] != UNKNOWN).flatten(1).any(1).tolist()
                wanted.append([k if f else None for f, k in zip(filled, known, strict=True)])
            for slot in range(BATCH):
                for first in (0, 1):
                    here = {batch[slot] for batch in wanted[first::2]} - {None}
                    assert len(here) <= 1
            shown = [w for batch in wanted for w in batch if w is not None]
            assert True in shown and False in shown

    @pytest.mark.parametrize("scribbles", [0.0, 1.0])
    def test_rounds_of_correction_before_a_step(
        self, data: TinyData, configuration: str, scribbles: float
    ) -> None:
        trainer = real(data, configuration)
        trainer.mixture = replace(trainer.mixture, refine=1.0, refine_after=0, scribbles=scribbles)
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        train, _ = trainer.get_dataloaders()
        trainer.set_deep_supervision_enabled(True)
        trainer.lr_scheduler.step(0)
        changed = 0
        for _ in range(5):
            batch = next(train)
            before, target = batch["data"].clone(), batch["target"][0]
            assert np.isfinite(trainer.train_step(batch)["loss"])
            shown = (target[:, 0] != UNKNOWN).flatten(1).any(1)
            assert torch.equal(batch["data"][~shown], before[~shown])
            assert torch.equal(batch["data"][:, :1], before[:, :1])
            assert batch["data"].min() == before.min()
            changed += int((batch["data"] != before).flatten(1).any(1).sum())
        assert changed > 0

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
        assert {len(result[k]) for k in ("tp_hard", "fp_hard", "fn_hard", "object")} == {3}


# stopped while it fetches a batch, the augmenter's own thread ends with an exception
stopping = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@stopping
def test_worker_processes_know_how_far_the_training_is(data: TinyData) -> None:
    with nnunet_variables({**data.variables, "nnUNet_n_proc_DA": "2"}):
        trainer = real(data, "3d_fullres")
        trainer.mixture = replace(trainer.mixture, promptless=0.0, prompts_after=10)
        trainer.num_iterations_per_epoch = 10
        trainer.current_epoch = 0
        trainer.note_progress()
        train, validation = trainer.get_dataloaders()
        try:
            early = [next(train) for _ in range(4)]
            trainer.current_epoch = 1
            trainer.note_progress()
            late = [next(train) for _ in range(24)][-8:]  # they work some batches ahead
        finally:
            train._finish()
            validation._finish()
    assert not any(batch["data"][:, 1:].any() for batch in early)
    assert any(batch["data"][:, 1:].any() for batch in late)


def _slices(volumes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """All slices of a batch of patches of two or three axes."""
    return volumes.reshape(-1, *volumes.shape[-2:])


@stopping
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
        sample = self.step(image=torch.zeros((1, 1, 40, 40)), segmentation=labels)
        return {**sample, "worker": self.thread_id}


@stopping
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork in a process with threads
def test_no_two_workers_draw_the_same_prompts() -> None:
    mixture = replace(BOXES, p_box_only=0, p_points_only=1)
    step = SimulatePrompts(Targets(TABLE, style_for((1, 1, 1)), mixture), CaseNote())
    workers = NonDetMultiThreadedAugmenter(_OneSample(step), None, 2, num_cached=2)
    drawn: dict[int, list[bytes]] = {0: [], 1: []}
    try:
        while min(map(len, drawn.values())) < 5:  # one may start much earlier than the other
            batch = next(workers)
            drawn[batch["worker"]].append(batch["image"][1 + POINT[0]].numpy().tobytes())
    finally:
        workers._finish()
    everything = drawn[0] + drawn[1]
    assert len(set(everything)) == len(everything)


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
