"""How stock `nnUNetv2_predict` reads images for a model of a canonical data set: brought to that orientation first.

nnU-Net finds readers by name among its own modules only. But it asks our trainer to build the network and hands it the
plans that it continues to read and write with, in worker processes, too. So the plans of such a model state that they
are canonical, and where they do, they name the reader below from then on. The plans of a training never do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.data.plans_reader import ImageReader
from nnunet_prompt.data.structures import BLOCK
from nnunet_prompt.io.geometry import geometry_difference, same_geometry
from nnunet_prompt.io.image_files import write_label_file

_log = logging.getLogger(__name__)
_IMAGE = (
    "nnunet_prompt_image"  # in the properties of a case: the file on whose grid its mask belongs
)


def canonical_plans(plans: dict[str, Any]) -> dict[str, Any]:
    """The plans of a model that was trained on a canonical data set, as they stand in its folder."""
    return {**plans, BLOCK: {"orientation": "canonical"}}


def plain_plans(plans: dict[str, Any]) -> dict[str, Any]:
    """The plans as nnU-Net made them."""
    return {key: value for key, value in plans.items() if key != BLOCK}


def read_as_trained(plans: PlansManager) -> None:
    """Gives plans that state that they are canonical the reader for it; leaves all others as they are."""
    said = getattr(plans, "plans", {}).get(BLOCK)
    if isinstance(said, dict) and said.get("orientation") == "canonical":
        plans.__class__ = CanonicalPlans


class CanonicalPlans(PlansManager):
    """nnU-Net's plans of a model whose images are brought to the canonical orientation when they are read."""

    @property
    def image_reader_writer_class(self) -> Callable[[], BaseReaderWriter]:
        reader = ImageReader(self.plans["image_reader_writer"], "canonical")
        return partial(CanonicalReader, reader)


class CanonicalReader(BaseReaderWriter):
    """Reads images of any orientation as `reader` does, and writes masks with the grid and header of the image."""

    def __init__(self, reader: ImageReader) -> None:
        self.reader = reader

    def read_images(
        self, image_fnames: Sequence[str]
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """The channels of a case, (C, D, H, W), and its properties. Raises `ImageError`."""
        volumes = [v for name in image_fnames for v in self.reader.read(Path(name))]
        first = volumes[0]
        moved = [self.reader.apply(v) for v in volumes]
        for other in moved:
            if not same_geometry(other, moved[0]):
                raise ImageError(
                    f"{other.path}: has another geometry than {first.path}:"
                    f" {geometry_difference(other, moved[0])}; channels of one case must have the same geometry"
                )
            for note in other.notes:
                _log.warning("%s: %s", other.path, note)
        data = np.stack([v.array for v in moved]).astype(np.float32, copy=False)
        return data, {"spacing": list(self.reader.spacing(first)), _IMAGE: str(image_fnames[0])}

    def read_seg(self, seg_fname: str) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        return self.read_images((seg_fname,))

    def write_seg(
        self, seg: npt.NDArray[Any], output_fname: str, properties: dict[str, Any]
    ) -> None:
        """Writes labels (D, H, W) on the grid of the image that `properties` belong to."""
        image = self.reader.read(Path(properties[_IMAGE]))[0]
        labels = self.reader.map(image).inverse().apply(seg)
        write_label_file(Path(output_fname), labels.astype(np.int32), image)
