"""Trains a network that takes a support set. Classes in `trainers/` subclass it."""

from __future__ import annotations

from typing import Any, ClassVar

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from torch import nn

from nnunet_prompt.networks.task_vector import add_task_vectors, is_of_task_vectors
from nnunet_prompt.training.show_support import (
    ShowSupport,
    SupportDataset,
    SupportNote,
    SupportShares,
)
from nnunet_prompt.training.trainer import PromptTrainer
from nnunet_prompt.training.transform import CaseNote, NotedDataset


class SupportTrainer(PromptTrainer):
    """Trains the network on prompts, structures, and supports: other cases of the fold that annotate a structure.

    Supports also ask for regions (see `training.regions`), without which structures that were never annotated are not
    found. What a support changes begins at zero, from new weights as from `-pretrained_weights`. Experimental: see
    benchmarks/results/task_vector.md.
    """

    support_shares: ClassVar[SupportShares] = SupportShares()
    note_class: ClassVar[type[CaseNote]] = SupportNote

    @staticmethod
    def build_network_architecture(
        plans_manager: Any,
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """The promptable network, with task vectors. nnU-Net calls this for inference as well."""
        network = PromptTrainer.build_network_architecture(
            plans_manager,
            configuration_manager,
            num_input_channels,
            num_output_channels,
            enable_deep_supervision,
        )
        add_task_vectors(network)
        return network

    def on_train_start(self) -> None:
        super().on_train_start()
        network = self.plain_network()
        added = sum(p.numel() for n, p in network.named_parameters() if is_of_task_vectors(n))
        total = sum(p.numel() for p in network.parameters())
        self.print_to_log_file(
            f"supports shown in training: {self.support_shares}; task vectors change the decoder by {added} of"
            f" {total} parameters"
        )

    def prompt_transform(self, augment: BasicTransform) -> ShowSupport:
        self._support_note.augment = augment
        return ShowSupport(self.targets(), self._support_note, self.training_progress)

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> Any:
        settings = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        self._support_note.size = tuple(int(n) for n in settings[2])
        return settings

    def get_tr_and_val_datasets(self) -> tuple[NotedDataset, NotedDataset]:
        train, validation = super().get_tr_and_val_datasets()
        cases = SupportDataset(
            train.dataset, self._support_note, self.table, shares=self.support_shares
        )
        return cases, validation

    @property
    def _support_note(self) -> SupportNote:
        note = self._notes[0]
        assert isinstance(note, SupportNote)  # note_class
        return note
