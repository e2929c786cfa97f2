"""nnU-Net's trainer with prompts. Classes in `trainers/` subclass it and set class attributes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import (
    DownsampleSegForDSTransform,
)
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from torch import nn

from nnunet_prompt.common.errors import refusing
from nnunet_prompt.data.labels import check_labels
from nnunet_prompt.data.planned import refuse_cascade
from nnunet_prompt.data.structures import StructureTable, structures_from_dataset_json
from nnunet_prompt.inference.model_files import describe_model
from nnunet_prompt.inference.stock_reader import read_as_trained
from nnunet_prompt.networks.capability import Capability, PointMetric
from nnunet_prompt.networks.network import build_network, heard_channels, silence_channels
from nnunet_prompt.networks.provenance import Points, licence_notes, pack, points_of, unpack
from nnunet_prompt.networks.tensor_names import PROVENANCE
from nnunet_prompt.prompts.channels import CHANNEL_NAMES
from nnunet_prompt.prompts.encode import PointShape
from nnunet_prompt.training.components import one_component
from nnunet_prompt.training.corrected import CorrectedTrainer
from nnunet_prompt.training.logger import PromptLogger
from nnunet_prompt.training.loss import PromptLoss
from nnunet_prompt.training.mixture import PromptMixture
from nnunet_prompt.training.transform import (
    CaseNote,
    NotedDataset,
    SimulatePrompts,
    Targets,
)


class PromptTrainer(CorrectedTrainer):
    """Trains one network that answers prompts (output 0) and knows its structures without any (outputs 1..K).

    A trainer sets the class attributes below and nothing else. Points are drawn as the trainer states; what it does not
    state is that of the weights it starts from, else as below. The parameters of `__init__` are nnU-Net's, because
    their names are part of its checkpoint format.
    """

    mixture: ClassVar[PromptMixture] = PromptMixture()
    point_shape: ClassVar[PointShape] = "edt"
    point_radius: ClassVar[float] = 4.0
    point_metric: ClassVar[PointMetric] = "spacing"
    mirror_at_inference: ClassVar[bool] = True
    note_class: ClassVar[type[CaseNote]] = CaseNote

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net's signature
    ) -> None:
        with refusing():
            self.table: StructureTable = structures_from_dataset_json(dataset_json)
            check_labels(dataset_json)
            refuse_cascade(plans, configuration)
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.logger.local_logger = PromptLogger()
        self._notes = self.note_class(), CaseNote()  # training, validation
        self._chances: tuple[float, ...] | None = None  # of the training cases, None: all alike
        self._one_component: tuple[str, ...] | None = None  # structures, known when training begins

    @property
    def capability(self) -> Capability:
        """How prompts are drawn. It depends on the weights, so it is final when they are loaded."""
        points = self.points()
        return Capability(
            point_shape=points.shape,
            point_radius=points.radius,
            point_metric=points.metric,
            grid_spacing=tuple(float(s) for s in self.configuration_manager.spacing),
            slice_axis=list(self.plans_manager.transpose_forward).index(0),
            unsupported=self._unsupported(),
            mixture=self.mixture.as_dict(),
            one_component=self._one_component or (),
        )

    def _unsupported(self) -> tuple[str, ...]:
        """The prompt channels that this training never shows and the weights it starts from do not know."""
        shown = self.mixture.channels()
        if self.network is not None:
            heard = heard_channels(self.plain_network(), self.num_input_channels)
            shown = tuple(a or b for a, b in zip(shown, heard, strict=True))
        return tuple(name for name, here in zip(CHANNEL_NAMES, shown, strict=True) if not here)

    def initialize(self) -> None:
        super().initialize()
        network = self.plain_network()
        silence_channels(network, self.num_input_channels, self.mixture.channels())
        # until training begins, so that nnU-Net starts it from the weights of a plain network
        network.shows_added = False  # type: ignore[assignment]

    def points(self) -> Points:
        """The trainer's points, completed by those of the loaded weights, else by the defaults."""
        base = self._points_of_weights()
        names = ("shape", "radius", "metric")
        return Points(
            **{
                name: getattr(self, f"point_{name}")
                if base is None or self._states(f"point_{name}")
                else getattr(base, name)
                for name in names
            }
        )

    def _points_of_weights(self) -> Points | None:
        if self.network is None:
            return None
        return points_of({PROVENANCE: self.plain_network().get_buffer(PROVENANCE)})

    def _states(self, attribute: str) -> bool:
        """Whether the trainer class itself sets a class attribute, be it to the default."""
        recipes = type(self).__mro__[: type(self).__mro__.index(PromptTrainer)]
        return any(attribute in vars(recipe) for recipe in recipes)

    @staticmethod
    def build_network_architecture(
        plans_manager: Any,
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """nnU-Net's network with seven more input channels. nnU-Net calls this for inference as well.

        The plans of a finished model are then given the reader that its images need.
        """
        read_as_trained(plans_manager)
        return build_network(
            configuration_manager.configuration["architecture"],
            num_input_channels,
            num_output_channels,
            deep_supervision=enable_deep_supervision,
        )

    def _build_loss(self) -> nn.Module:
        with np.errstate(
            invalid="ignore"
        ):  # 0 / 0 in nnU-Net's weights of a single scale; see below
            loss: nn.Module = super()._build_loss()
        ours = PromptLoss(ddp=self.is_ddp)
        if isinstance(loss, DeepSupervisionWrapper):
            loss.loss = ours
            if (
                len(loss.weight_factors) == 1
            ):  # nnU-Net gives the lowest scale no weight, and here it is the only one
                loss.weight_factors = (1.0,)
        else:
            loss = ours
        return loss

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> Any:
        settings = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        if not self.mirror_at_inference:
            self.inference_allowed_mirroring_axes = None
        return settings

    def get_training_transforms(
        self,
        patch_size: Any,
        rotation_for_DA: Any,
        deep_supervision_scales: Any,
        *args: Any,
        **kw: Any,
    ) -> BasicTransform:
        inner = super().get_training_transforms(patch_size, rotation_for_DA, None, *args, **kw)
        return _composed(inner, self.prompt_transform(inner), deep_supervision_scales)

    def get_validation_transforms(
        self, deep_supervision_scales: Any, *args: Any, **kw: Any
    ) -> BasicTransform:
        inner = super().get_validation_transforms(None, *args, **kw)
        shown = SimulatePrompts(self.targets(), self._notes[1])
        return _composed(inner, shown, deep_supervision_scales)

    def prompt_transform(self, augment: BasicTransform) -> SimulatePrompts:
        """What follows nnU-Net's augmentation, `augment`, in training."""
        del augment  # for trainers that augment more than the patch
        return SimulatePrompts(self.targets(), self._notes[0], self.training_progress)

    def targets(self) -> Targets:
        """The settings of the prompt transform."""
        return Targets(
            table=self.table,
            style=self.capability.style(),
            mixture=self.mixture,
            slice_axis=0
            if len(self.configuration_manager.patch_size) == 2
            else self.capability.slice_axis,
            ignore_label=self.label_manager.ignore_label,
            batch_size=self.batch_size,
        )

    def get_tr_and_val_datasets(self) -> tuple[NotedDataset, NotedDataset]:
        train, validation = super().get_tr_and_val_datasets()
        with refusing():
            self._chances = self.table.probabilities(train.identifiers)
        return NotedDataset(train, self._notes[0]), NotedDataset(validation, self._notes[1])

    def get_dataloaders(self) -> tuple[Any, Any]:
        """nnU-Net's loaders; the one for training draws its cases by their weights, where `dataset.json` has any."""
        train, validation = super().get_dataloaders()
        if self._chances is not None:
            if isinstance(train, NonDetMultiThreadedAugmenter):
                train.generator.sampling_probabilities = self._chances
                train.restart()  # nnU-Net has started the workers already, each with a loader of its own
            else:
                train.data_loader.sampling_probabilities = self._chances
        return train, validation

    def on_train_start(self) -> None:
        self.note_progress()  # processes that load patches begin before the first epoch
        super().on_train_start()
        self.plain_network().shows_added = True  # type: ignore[assignment]
        buffer = self.plain_network().get_buffer(PROVENANCE)
        origins, points = unpack(buffer), self.points()
        self._describe()
        if self.local_rank == 0:
            shown = f"prompts shown in training: {self.mixture}"
            for line in (shown, *self._notes_on_points(), *licence_notes(origins)):
                self.print_to_log_file(line)
        buffer.copy_(pack(origins, points))  # so that the next training from these weights knows

    def _describe(self) -> None:
        """Finds the structures that are one component, and writes our part of the model folder."""
        self._one_component = one_component(self)
        if self.local_rank == 0:
            describe_model(
                Path(self.output_folder_base),
                self.capability,
                plans=self.plans_manager.plans,
                dataset_json=self.dataset_json,
                orientation=self.table.orientation,
            )
            named = ", ".join(self._one_component) or "none"
            self.print_to_log_file(f"structures that are one connected component: {named}")

    def on_epoch_start(self) -> None:
        self.note_progress()
        super().on_epoch_start()

    def note_progress(self) -> None:
        """Lets the loaders know how far the training is: by epochs, so that a resumed one (--c) continues alike."""
        self.training_progress.iteration = self.current_epoch * self.num_iterations_per_epoch

    def _notes_on_points(self) -> Iterator[str]:
        """The line of the log where the trainer and the weights differ on points."""
        base, points = self._points_of_weights(), self.points()
        if base is not None and base != points:
            yield f"points: {points}, as the trainer states; the weights it starts from know {base}"
        elif points != Points(self.point_shape, self.point_radius, self.point_metric):
            yield f"points: {points}, as the weights it starts from know them"

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Full volumes of the validation cases, once per kind of prompt; see `training.validation`."""
        from nnunet_prompt.training.validation import validate

        if self._one_component is None:  # --val of a training that ended
            self._describe()
        validate(self, save_probabilities=save_probabilities)


def _composed(inner: BasicTransform, shown: SimulatePrompts, scales: Any) -> BasicTransform:
    """Augmentation, prompts, and the targets of deep supervision where there are `scales`."""
    steps = [inner, shown]
    if scales is not None:
        steps.append(DownsampleSegForDSTransform(ds_scales=scales))
    return ComposeTransforms(steps)
