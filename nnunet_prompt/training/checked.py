"""nnU-Net's trainer, which refuses in one line what nnU-Net would end in a traceback: the base of all of ours."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunet_prompt.common.errors import RefusedError, refusing
from nnunet_prompt.data.planned import preprocessed_cases, settings_in
from nnunet_prompt.data.splits import fold_of
from nnunet_prompt.data.structures import without_cases
from nnunet_prompt.io.atomic import PARTIAL
from nnunet_prompt.io.resources import bound_threads, use_huge_pages
from nnunet_prompt.training.progress import watch
from nnunet_prompt.training.resume import check_resumable
from nnunet_prompt.training.schedule import (
    Schedule,
    adamw,
    apply_schedule,
    apply_seed,
    check_device,
)


class CheckedTrainer(nnUNetTrainer):
    """Trains on a `schedule` and reports its progress. A case is never named in what it saves.

    Raises `RefusedError` for a configuration or a device that is not there, for data that are not preprocessed, for
    folds and checkpoints that cannot be used. The parameters of `__init__` are nnU-Net's, because their names are part
    of its checkpoint format.
    """

    schedule: ClassVar[Schedule] = Schedule()

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net's signature
    ) -> None:
        with refusing():
            settings_in(plans, configuration, f"plans {plans.get('plans_name', '')}")
            check_device(device)
        use_huge_pages()
        super().__init__(plans, configuration, fold, without_cases(dataset_json), device)
        if device.type == "cpu":
            bound_threads()
        apply_schedule(self, self.schedule)

    def configure_optimizers(self) -> Any:
        return adamw(self) if self.schedule.optimizer == "adamw" else super().configure_optimizers()

    def initialize(self) -> None:
        try:
            super().initialize()
        except (OSError, AssertionError, KeyError):  # nnU-Net looks for the format of the cases
            self._preprocessed()
            raise

    def do_split(self) -> Any:
        cases = self._preprocessed()
        with refusing():
            fold_of(Path(self.preprocessed_dataset_folder_base), self.fold, cases)
        return super().do_split()

    def _preprocessed(self) -> list[str]:
        number, name = self.plans_manager.dataset_name[7:10], self.plans_manager.plans_name
        again = f"-d {number} -plans_name {name} -c {self.configuration_name}"
        with refusing():
            return preprocessed_cases(Path(self.preprocessed_dataset_folder), again)

    def save_checkpoint(self, filename: str) -> None:
        """A training that is killed meanwhile leaves the checkpoint that was there, not half of a new one."""
        if self.local_rank != 0 or self.disable_checkpointing:
            super().save_checkpoint(filename)
            return
        path = Path(filename)  # the name is part of the file, so only the folder may be another
        with TemporaryDirectory(prefix=PARTIAL, dir=path.parent) as folder:
            super().save_checkpoint(str(Path(folder) / path.name))
            (Path(folder) / path.name).replace(path)

    def load_checkpoint(self, filename_or_checkpoint: Any) -> None:
        """Of --c, --val and --val_best."""
        with refusing():
            check_resumable(Path(filename_or_checkpoint))
        try:
            super().load_checkpoint(filename_or_checkpoint)
        except RuntimeError as error:  # torch names the tensors that do not fit
            raise RefusedError(
                f"{filename_or_checkpoint}: does not fit its plans any more"
                f" ({' '.join(str(error).split())[:200]}): train anew without --c"
            ) from None

    def on_train_start(self) -> None:
        if self.current_epoch:  # resumed
            apply_seed(epoch=self.current_epoch, rank=self.local_rank)
        super().on_train_start()
        watch(self)
