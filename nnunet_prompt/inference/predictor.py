"""Images and prompts in, a label map on the image file's own grid out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnunet_prompt.data.nifti import NiftiVolume
from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.errors import ImageError
from nnunet_prompt.inference.engine import Engine
from nnunet_prompt.inference.grid import Decode, Grid, grid_of
from nnunet_prompt.inference.merge import decode_structures, merge_objects, slice_gate
from nnunet_prompt.inference.model_folder import LoadedModel, load_model
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.prompts.frames import AxisMap, canonical_map, flip_permute, pls_map
from nnunet_prompt.prompts.model import CasePrompts, PromptSet

LabelMap = npt.NDArray[np.int32]


class PromptPredictor:
    """A loaded model. It keeps nothing of one case for the next, and is not safe for several threads."""

    def __init__(self, model: LoadedModel, *, step_size: float = 0.5) -> None:
        self.model = model
        self.engine = Engine(
            network=model.network,
            patch_size=tuple(int(n) for n in model.configuration.patch_size),
            style=model.capability.style(),
            device=model.device,
            mirror_axes=model.mirror_axes,
            step_size=step_size,
        )

    @classmethod
    def from_folder(cls, model: Path, options: PredictOptions) -> PromptPredictor:
        """Loads a model folder once. Raises `ModelError`."""
        return cls(load_model(model, options), step_size=options.step_size)

    @property
    def n_image_channels(self) -> int:
        return self.model.n_image_channels

    @property
    def table(self) -> StructureTable:
        return self.model.table

    def predict_prompts(self, images: Sequence[NiftiVolume], prompts: CasePrompts) -> LabelMap:
        """What the prompts point at: label ids of the prompts on the file grid of `images[0]`.

        Points of the other labels serve each label as negatives. Where `prompts.slices` is given, a label appears
        only in slices where it was prompted. Raises `ImageError` for images that do not fit the model or each other,
        and `PromptError` for prompts outside the image.
        """
        data, grid, reader = self._preprocess(images)
        file_to_pls = pls_map(images[0].affine, images[0].shape)
        to_reader = reader if prompts.frame == "file" else file_to_pls.inverse().then(reader)
        to_grid = to_reader.then(grid.to_grid)
        labels = [label for label, said in prompts.labels.items() if not said.empty]
        for label in labels:
            prompts.labels[label].check_inside(to_reader.source_shape)
        sets: list[PromptSet] = []
        for label in labels:
            others = [prompts.labels[other] for other in labels if other != label]
            sets.append(to_grid.prompts(prompts.labels[label].with_negatives(others)))
        if not sets:
            return np.zeros(images[0].shape, np.int32)

        def decode(logits: npt.NDArray[Any], from_crop: AxisMap) -> LabelMap:
            gate = None
            if prompts.slices is not None:
                to_pls = from_crop.then(reader.inverse()).then(file_to_pls)
                gate = slice_gate(prompts.slices, labels, to_pls)
            return merge_objects(logits, labels, gate)

        logits = self._ensemble(lambda: self.engine.objects(data, sets))
        return self._restore(logits, grid, reader, decode)

    def predict_structures(
        self, images: Sequence[NiftiVolume], wanted: Sequence[str] = ()
    ) -> LabelMap:
        """What the model knows without prompts: official values on the file grid of `images[0]`, in one pass.

        `wanted` (names or official values) restricts the structures. Raises like `predict_prompts`.
        """
        for name in wanted:
            self.table.find(name)
        data, grid, reader = self._preprocess(images)
        logits = self._ensemble(lambda: self.engine.structures(data))
        return self._restore(
            logits, grid, reader, lambda here, _: decode_structures(here, self.table, wanted)
        )

    def _ensemble(self, run: Callable[[], Tensor]) -> Tensor:
        """The mean of the logits over the folds."""
        total: Tensor | None = None
        for weights in self.model.weights:
            if len(self.model.weights) > 1:
                self.model.network.load_state_dict(weights)
            logits = run()
            total = logits if total is None else total + logits
        assert total is not None  # a model folder has at least one fold
        return total / len(self.model.weights)

    def _preprocess(self, images: Sequence[NiftiVolume]) -> tuple[Tensor, Grid, AxisMap]:
        """nnU-Net's preprocessing: data (C, *grid), how it came about, and the map from file to reader frame."""
        _check_images(images, self.n_image_channels)
        first = images[0]
        reader = self._reader_map(first)
        stack = np.stack([reader.apply(v.array) for v in images]).astype(np.float32)
        spacing = [first.spacing_mm[a] for a in reader.axes]
        properties: dict[str, Any] = {"spacing": spacing}
        configuration, plans = self.model.configuration, self.model.plans
        preprocessor = configuration.preprocessor_class(verbose=False)
        data, _, properties = preprocessor.run_case_npy(
            stack, None, properties, plans, configuration, self.model.dataset_json
        )
        shape = (int(data.shape[1]), int(data.shape[2]), int(data.shape[3]))
        grid = grid_of(properties, plans.transpose_forward, shape, configuration.spacing)
        return torch.from_numpy(np.ascontiguousarray(data)), grid, reader

    def _reader_map(self, volume: NiftiVolume) -> AxisMap:
        """File frame to reader frame: canonical, or just reversed as nnU-Net's readers hand it over."""
        if self.table.orientation == "canonical":
            return canonical_map(volume.affine, volume.shape)
        return flip_permute((2, 1, 0), (False, False, False), volume.shape)

    def _restore(self, logits: Tensor, grid: Grid, reader: AxisMap, decode: Decode) -> LabelMap:
        resampler = self.model.configuration.resampling_fn_probabilities
        labels = grid.restore(logits, resampler, decode)
        return np.ascontiguousarray(reader.inverse().apply(labels))


def _check_images(images: Sequence[NiftiVolume], expected: int) -> None:
    if len(images) != expected:
        found = ", ".join(v.path.name for v in images)
        raise ImageError(
            f"this model takes {expected} image channel(s) per case, found {len(images)}: {found};"
            " name them CASE_0000.nii.gz, CASE_0001.nii.gz ..."
        )
    first = images[0]
    for other in images[1:]:
        if other.shape != first.shape or not np.allclose(other.affine, first.affine, atol=1e-3):
            raise ImageError(
                f"{other.path}: lies on another grid than {first.path} ({other.shape} and {first.shape});"
                " channels of one case must be registered and resampled to one grid"
            )
