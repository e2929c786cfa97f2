"""Tunes few parameters of a network that was trained before. Classes in `trainers/` subclass it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from nnunet_prompt.common.errors import RefusedError
from nnunet_prompt.networks.adapter_file import (
    ABOUT,
    ADAPTER_FILE,
    Adapter,
    base_sha256,
    write_adapter,
)
from nnunet_prompt.networks.lora import lora_state, restore_lora
from nnunet_prompt.networks.provenance import provenance_of
from nnunet_prompt.networks.tunable import (
    Tuning,
    as_trained,
    is_deaf,
    keep_statistics,
    make_tunable,
    tuned_tensors,
)
from nnunet_prompt.training.schedule import Schedule
from nnunet_prompt.training.trainer import PromptTrainer

TUNE_SCHEDULE = Schedule(
    epochs=20, iterations=50, val_iterations=4, learning_rate=3e-3, optimizer="adamw"
)
STATE = "tuning"  # beside the optimizer's own state


class TuneTrainer(PromptTrainer):
    """Trains what `tuning` names and keeps the rest bit for bit, from `-pretrained_weights`.

    Points are drawn as the base knows them. Its checkpoints are whole ones, in which LoRA is folded into the weights;
    what is needed to resume exactly (the hash of the base, and of LoRA the frozen weights and the terms) is part of
    their optimizer state. At the end the tuned tensors are written beside checkpoint_final.pth as adapter.pth.
    """

    tuning: ClassVar[Tuning]
    schedule: ClassVar[Schedule] = TUNE_SCHEDULE
    mirror_at_inference: ClassVar[bool] = False  # eight times the work

    base_sha256: str | None = None

    def configure_optimizers(self) -> Any:
        """nnU-Net compiles the network before and wraps it for DDP after this."""
        network: Any = getattr(self.network, "_orig_mod", self.network)
        make_tunable(network, self.tuning)
        optimizer, scheduler = super().configure_optimizers()
        for group in optimizer.param_groups:
            group["params"] = [p for p in group["params"] if p.requires_grad]
        optimizer.register_state_dict_post_hook(self._add_tuning)
        optimizer.register_load_state_dict_pre_hook(self._take_tuning)
        return optimizer, scheduler

    def on_train_start(self) -> None:
        if not (self.was_initialized and self.plain_network().has_base):
            raise RefusedError(
                f"{type(self).__name__}: tunes a trained network, and none was given; add -pretrained_weights FILE,"
                " a checkpoint of a promptable training or what `nnunet-prompt weights adapt` wrote"
            )
        network = self.plain_network()
        self.base_sha256 = self.base_sha256 or base_sha256(network)
        super().on_train_start()
        tuned = sum(p.numel() for p in network.parameters() if p.requires_grad)
        total = sum(p.numel() for p in network.parameters())
        self.print_to_log_file(f"tuning {self.tuning.method}: {tuned} of {total} parameters")
        if is_deaf(network):
            self.print_to_log_file(
                "WARNING: this base ignores prompts and this trainer cannot change that; only the structures are tuned."
                " Train on with nnUNetTrainerPrompt, or tune with nnUNetTrainerPromptLoRA"
            )

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        if self.tuning.method != "full":
            keep_statistics(self.plain_network())

    def save_checkpoint(self, filename: str) -> None:
        with as_trained(self.plain_network()):
            super().save_checkpoint(filename)

    def on_train_end(self) -> None:
        super().on_train_end()
        small = self.tuning.method != "full"
        if small and self.local_rank == 0 and not self.disable_checkpointing:
            write_adapter(Path(self.output_folder) / ADAPTER_FILE, self.adapter())

    def adapter(self) -> Adapter:
        """The tuned tensors so far. Only of a training that has started."""
        assert self.base_sha256 is not None  # on_train_start sets it
        network = self.plain_network()
        values = (
            type(self).__name__,
            self.my_init_kwargs,
            self.inference_allowed_mirroring_axes,
        )
        return Adapter(
            tuning=self.tuning,
            base_sha256=self.base_sha256,
            tensors=tuned_tensors(network),
            about=dict(zip(ABOUT, values, strict=True)),
            origins=provenance_of(network.state_dict()),
        )

    def _add_tuning(self, optimizer: Any, state: dict[str, Any]) -> None:
        del optimizer
        lora = lora_state(self.plain_network())
        state[STATE] = {"base_sha256": self.base_sha256, "lora": lora}

    def _take_tuning(self, optimizer: Any, state: dict[str, Any]) -> None:
        del optimizer
        if STATE not in state:
            raise RefusedError(
                f"{type(self).__name__}: the checkpoint to resume from was not written by a tuning trainer"
            )
        kept = state.pop(STATE)
        self.base_sha256 = kept["base_sha256"]
        restore_lora(self.plain_network(), kept["lora"])
