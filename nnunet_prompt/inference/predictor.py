"""Images and prompts in, a label map on the image file's own grid out."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from nnunet_prompt.common.arguments import as_path, one_of
from nnunet_prompt.common.errors import PromptError
from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.inference.automatic import AutomaticPass
from nnunet_prompt.inference.by_name import add_named
from nnunet_prompt.inference.components import keep_largest
from nnunet_prompt.inference.consistent import settle_points
from nnunet_prompt.inference.disagreement import disagreement
from nnunet_prompt.inference.find import find_objects
from nnunet_prompt.inference.given import (
    Label,
    as_case_prompts,
    as_names,
    as_options,
    as_volumes,
    check_channels,
)
from nnunet_prompt.inference.grid import Decode, Placed, grid_of
from nnunet_prompt.inference.level_files import LevelFiles
from nnunet_prompt.inference.merge import (
    LabelMap,
    compact,
    label_type,
    merge_objects,
    slice_gate,
)
from nnunet_prompt.inference.model_folder import LoadedModel, load_model
from nnunet_prompt.inference.object_logits import ObjectLogits, on_file
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompts.encode import Window
from nnunet_prompt.prompts.frames import AxisMap, identity, pls_map
from nnunet_prompt.prompts.types import CasePrompts
from nnunet_prompt.prompts.world import FromWorld
from nnunet_prompt.sliding_window.canvas import LabelLogits
from nnunet_prompt.sliding_window.forward import networks
from nnunet_prompt.sliding_window.lazy_image import (
    DenseImage,
    GridImage,
    LazyImage,
    check_whole,
    prepare,
)
from nnunet_prompt.sliding_window.sliding_window import Engine
from nnunet_prompt.sliding_window.tile_cache import TileCache
from nnunet_prompt.sliding_window.torch_resampling import resample_image

_LOG = logging.getLogger(__name__)

Images = (
    NiftiVolume | Path | str | Any
)  # an image as `io.in_memory` lists them, or the channels of a case in a list
Prompts = CasePrompts | Mapping[Label, Any]  # or label or name to what `as_prompt_set` takes


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A label map on the file grid and, by label, the tiles that were run for it and how many of them were added where
    a mask touched the border.

    The label map is of the smallest unsigned integer type that holds the labels.
    """

    labels: LabelMap
    tiles: Mapping[int, int] = field(default_factory=dict)
    grown: Mapping[int, int] = field(default_factory=dict)
    windows: Mapping[int, tuple[Window, ...]] = field(default_factory=dict)


class PromptPredictor:
    """A loaded model. It keeps nothing of one case for the next.

        predictor = PromptPredictor("MODEL", device="cpu")
        mask = predictor.predict("case_001.nii.gz", {"LV": Point((88, 97, 5))})  # (X, Y, Z)
        mask = predictor.predict_structures("case_001.nii.gz", ["LV"])

    Not safe for several threads but for one thing: `place`, which changes nothing in it and does not ask the network,
    may run in one thread while another case is answered in a second one.
    """

    def __init__(
        self,
        model: LoadedModel | Path | str,
        options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
        *,
        device: str | None = None,
    ) -> None:
        """Loads a model folder once; `device` goes before that of the `options`. Raises `ModelError`."""
        options = as_options(options)
        options = options if device is None else replace(options, device=device)
        if not isinstance(model, LoadedModel):
            model = load_model(as_path("model", model), options)
        self.model = model
        self.options = options
        self.reader = model.reader
        network, *others = networks(model.network, model.weights, model.device)
        self.engine = Engine(
            network=network,
            patch_size=tuple(int(n) for n in model.configuration.patch_size),
            style=model.capability.style(),
            device=model.device,
            mirror_axes=model.mirror_axes,
            step_size=options.step_size,
            # a processor gains nothing from larger batches, and their activations cost memory
            max_batch=1 if model.device.type == "cpu" else 4,
            ensemble=tuple(others),
            growth=8 if options.grow else 0,
            bfloat16=options.bfloat16,
            skip_single=options.skip_single,
        )

    @classmethod
    def from_folder(
        cls,
        model: Path | str,
        options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
    ) -> PromptPredictor:
        """Loads a model folder once. Raises `ModelError`."""
        return cls(as_path("model", model), options)

    @property
    def n_image_channels(self) -> int:
        """The number of image channels that the model takes."""
        return self.model.n_image_channels

    @property
    def _one_component(self) -> Collection[str]:
        """The structures of which only one component is kept."""
        known = self.model.capability.one_component if self.options.one_component else ()
        return set(known) & set(self.table.names)

    def _one_component_values(self) -> set[int]:
        """Their official values, but for one that other structures share."""
        others = {s.official for s in self.table.structures if s.name not in self._one_component}
        return {self.table.find(name).official for name in self._one_component} - others

    @property
    def table(self) -> StructureTable:
        """The structures of the model: names, official values, priority."""
        return self.model.table

    def predict(
        self, image: Images, prompts: Prompts, *, space: Literal["voxel", "world"] = "voxel"
    ) -> LabelMap:
        """Predicts the objects that prompts point at: a label map (X, Y, Z) on the grid of the image, 0 where nothing
        is.

        image: a path, a nibabel or SimpleITK image, (array, affine) or (array, spacing), or a list of channels; an
            array is (X, Y, Z) in nibabel's order, an affine leads to RAS mm, a spacing is in mm
        prompts: label or name to a `Point`, `Box`, `Scribble`, `PromptSet`, boolean mask, or a list of them
        space: "voxel" of that array, or "world", RAS mm; masks are arrays of the image's shape in either

            mask = predictor.predict((array, affine), {500: [Point((88, 97, 5)), Box((70, 80, 5), (110, 120, 6))]})

        Points of the other labels serve each label as negatives. Raises `ImageError` for images that do not fit the
        model or each other, and `PromptError` for what is no prompt and for prompts outside the image.
        """
        one_of("space", space, ("voxel", "world"))
        case_prompts = as_case_prompts(prompts, self.table)
        if space == "voxel":
            return self.predict_prompts(image, case_prompts)
        if case_prompts.frame != "file":
            raise PromptError('space: expected "voxel" for prompts in the frame PLS, found "world"')
        volumes = as_volumes(image, self.reader)
        world = FromWorld(volumes[0].affine, volumes[0].shape)
        sets = {label: world.prompts(said) for label, said in case_prompts.labels.items()}
        return self.predict_prompts(volumes, replace(case_prompts, labels=sets))

    def predict_prompts(self, images: Images, prompts: Prompts) -> LabelMap:
        """As `predict`, in voxels, or in the frame that `CasePrompts` states.

        Where `prompts.slices` is given, a label appears only in slices where it was prompted. The structure heads
        answer for labels in `prompts.named`, where nothing else is found.
        """
        prompts = as_case_prompts(prompts, self.table)  # before the image is worked on
        volumes = as_volumes(images, self.reader)
        labels = self.answer(self.place(volumes), prompts).labels
        if not prompts.named:
            return labels
        to_pls = pls_map(volumes[0].affine, volumes[0].shape)
        ask = partial(self.predict_structures, volumes)
        return add_named(labels, prompts, self.table, ask, to_pls)

    def object_logits(self, images: Images, prompts: Prompts) -> ObjectLogits:
        """Predicts the logits that `predict_prompts` merges, on the file grid of `images[0]`; raises like it."""
        prompts = as_case_prompts(prompts, self.table)
        case = self.place(images)
        resampler = self.model.configuration.resampling_fn_probabilities
        return on_file(case, self.find(case, prompts), resampler)

    def predict_structures(self, images: Images, wanted: str | Sequence[str] = ()) -> LabelMap:
        """Predicts structures without prompts: official values on the file grid of `images[0]`, in one pass.

        `images` as in `predict`; `wanted` (names or official values) restricts the structures:

            mask = predictor.predict_structures((array, affine), ["LV", 200])

        Raises `DatasetError` for a structure that the model does not know, and like `predict`.
        """
        names = as_names(wanted)
        for name in names:
            self.table.find(name)
        return self.answer_structures(self.place(images, whole=True), names)

    def answer_structures(
        self, case: Placed, wanted: Sequence[str] = (), maps: LevelFiles | None = None
    ) -> LabelMap:
        """As `predict_structures`, for a case that was placed as a whole. Fills the probability maps, too."""
        table, values = compact(self.table)
        names = [s.name for s in self.table.chosen(wanted)]
        codes = np.zeros(case.file_shape, label_type(range(len(values))), order="F")
        resampling = self.model.configuration.resampling_fn_probabilities
        count = AutomaticPass(self.engine, table, resampling).labels(case, names, codes, maps)
        labels = np.asarray(values[codes.T].T)
        level = logging.INFO if count.skipped else logging.DEBUG
        _LOG.log(level, "%d of %d tiles skipped: they have a single value", *count.skipped_of)
        keep_largest(labels, self.table, self._one_component)
        return labels

    def disagreement(
        self, case: Placed, labels: LabelMap, wanted: Sequence[str] = ()
    ) -> npt.NDArray[np.uint8]:
        """How unsure the support set leaves the answer `labels` of `answer_structures`: round(255 share), its shape.

        The share is that of the answers that differ, each with one case of the support left out (leave-one-out instead
        of Tyche's candidates, Rakic et al. 2024, arXiv 2401.13650). Raises `ModelError` as `check_support` does.
        """
        return disagreement(self.model, labels, lambda: self.answer_structures(case, wanted))

    def place(self, images: Images, *, whole: bool = False) -> Placed:
        """Preprocesses the channels of one case; `whole` resamples all of it at once, as does `window` "full".

        Raises `ImageError` for images that do not fit the model or each other.
        """
        images = as_volumes(images, self.reader)
        moved = [self.reader.apply(v) for v in images]
        check_channels(moved, self.n_image_channels)
        first = images[0]
        reader = self.reader.map(first)
        channels = [v.array for v in moved]
        spacing = self.reader.spacing(first)
        plans, configuration = self.model.plans, self.model.configuration
        lazily = None
        if whole or self.options.window == "prompted":
            lazily = prepare(channels, spacing, plans, configuration)
        image: GridImage
        image, properties = lazily or self._preprocessed(channels, spacing)
        if whole and isinstance(image, LazyImage) and self.model.device.type == "cpu":
            image = resample_image(image, self.model.device)  # elsewhere the device does it later
        return Placed(
            image=image,
            grid=grid_of(properties, plans.transpose_forward, image.shape, configuration.spacing),
            file_to_reader=reader,
            file_to_pls=pls_map(first.affine, first.shape),
        )

    def answer(
        self,
        case: Placed,
        prompts: Prompts,
        *,
        cache: TileCache | None = None,
        known: Mapping[int, Sequence[Window]] | None = None,
    ) -> Answer:
        """Predicts the objects that prompts point at, and counts the tiles. `cache` and `known` tiles come from answers
        for the same case.

        Raises `PromptError` for prompts outside the image.
        """
        prompts = as_case_prompts(prompts, self.table)
        by_label = self.find(case, prompts, cache=cache, known=known)
        return Answer(
            self.merge(case, prompts, by_label),
            {label: f.tiles for label, f in by_label.items()},
            {label: f.grown for label, f in by_label.items()},
            {label: f.windows for label, f in by_label.items()},
        )

    def find(
        self,
        case: Placed,
        prompts: CasePrompts,
        *,
        cache: TileCache | None = None,
        known: Mapping[int, Sequence[Window]] | None = None,
    ) -> dict[int, LabelLogits]:
        """Predicts the logits of each label that has prompts, on the case's grid; as `answer`, but not merged."""
        for label, said in prompts.labels.items():
            self.model.capability.check_supported(said, label)
        return find_objects(
            self.engine,
            case,
            prompts,
            window=self.options.window,
            cache=cache,
            known=known,
            consistent=self.options.consistent,
            one_component=self._one_component_values(),
        )

    def merge(
        self, case: Placed, prompts: CasePrompts, answers: Mapping[int, LabelLogits]
    ) -> LabelMap:
        """The label map of what `find` found."""
        labels = list(answers)

        def decode(logits: npt.NDArray[Any], from_crop: AxisMap) -> LabelMap:
            gate = None
            if prompts.slices is not None:
                to_pls = from_crop.then(case.file_to_reader.inverse()).then(case.file_to_pls)
                gate = slice_gate(prompts.slices, labels, to_pls, slice_axis=prompts.slice_axis)
            return merge_objects(logits, labels, gate)

        merged = self._restore(case, list(answers.values()), decode, labels)
        if self.options.consistent:
            here = identity(case.file_shape)
            settle_points(
                merged, prompts, here if prompts.frame == "file" else case.file_to_pls.inverse()
            )
        return merged

    def _preprocessed(
        self, channels: Sequence[npt.NDArray[Any]], spacing: Sequence[float]
    ) -> tuple[DenseImage, dict[str, Any]]:
        """nnU-Net's own preprocessing of the whole volume."""
        configuration, plans = self.model.configuration, self.model.plans
        check_whole(channels[0].shape, spacing, plans, configuration)
        preprocessor = configuration.preprocessor_class(verbose=False)
        data, _, properties = preprocessor.run_case_npy(
            np.stack(channels).astype(np.float32, copy=False),
            None,
            {"spacing": list(spacing)},
            plans,
            configuration,
            self.model.dataset_json,
        )
        return DenseImage(torch.from_numpy(np.ascontiguousarray(data))), properties

    def _restore(
        self, case: Placed, answers: Sequence[LabelLogits], decode: Decode, values: Sequence[int]
    ) -> LabelMap:
        # in the order of the file, and of what is not written to nothing becomes memory
        labels = np.zeros(case.file_shape, label_type(values), order="F")
        resampler = self.model.configuration.resampling_fn_probabilities
        case.grid.paste(answers, resampler, decode, case.file_to_reader.apply(labels))
        return labels
