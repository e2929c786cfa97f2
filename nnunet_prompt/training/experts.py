"""Trains a network with experts. Classes in `trainers/` subclass it."""

from __future__ import annotations

from typing import Any

from torch import nn

from nnunet_prompt.networks.experts import ExpertOptions, add_experts, is_of_experts
from nnunet_prompt.training.trainer import PromptTrainer

EXPERTS = ExpertOptions()


class ExpertsTrainer(PromptTrainer):
    """Trains the network together with four experts of rank 4 on its convolutions (see `networks.experts`).

    Experts begin at zero, from new weights as from `-pretrained_weights`, of which experts are not taken over.
    """

    @staticmethod
    def build_network_architecture(
        plans_manager: Any,
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """The promptable network, with experts. nnU-Net calls this for inference as well."""
        network = PromptTrainer.build_network_architecture(
            plans_manager,
            configuration_manager,
            num_input_channels,
            num_output_channels,
            enable_deep_supervision,
        )
        add_experts(network, EXPERTS)
        return network

    def on_train_start(self) -> None:
        super().on_train_start()
        network = self.plain_network()
        added = sum(p.numel() for n, p in network.named_parameters() if is_of_experts(n))
        total = sum(p.numel() for p in network.parameters())
        self.print_to_log_file(
            f"experts: {EXPERTS.number} of rank {EXPERTS.rank} on each convolution and a router, {added} of {total}"
            " parameters"
        )
