"""How a model's images are read: by the reader that its plans name, in prediction as in training.

The voxels of NIfTI and ITK files are read by our own code, which refuses damaged files and keeps headers; the reader
of the plans decides which axes the network sees first and which way they run. Other formats are read by nnU-Net's
reader itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.data.structures import Orientation
from nnunet_prompt.io import itk_file, nifti_file
from nnunet_prompt.io.dicom import read_series
from nnunet_prompt.io.image_files import image_ending
from nnunet_prompt.io.itk_file import FLAT_THICKNESS, read_itk
from nnunet_prompt.io.nifti import NiftiVolume, read_stored, volume_count
from nnunet_prompt.io.reader_file import NATURAL, TIFF, ReaderGrid, read_with, reader_class
from nnunet_prompt.prompts.frames import (
    AxisMap,
    canonical_map,
    codes_map,
    ras_map,
    reversed_map,
)

ITK, ITK_REORIENTS = "SimpleITKIO", "SimpleITKIOWithReorient"
NIBABEL, NIBABEL_REORIENTS = "NibabelIO", "NibabelIOWithReorient"
WORLD = (ITK, ITK_REORIENTS, NIBABEL, NIBABEL_REORIENTS)  # they know where voxels lie
REORIENTING = (ITK_REORIENTS, NIBABEL_REORIENTS)
_OWN = {NATURAL: (".png", ".bmp", ".tif", ".tiff"), TIFF: (".tif", ".tiff")}


@dataclass(frozen=True, slots=True)
class ImageReader:
    """The reader of a model.

    name: nnU-Net's reader, `image_reader_writer` of plans.json
    orientation: of the data set; "canonical" images are brought to `canonical_map` first, as our converters write them
    ending: of the data set's files, `file_ending` of dataset.json

    Raises `ModelError` for a reader that nnU-Net does not have.
    """

    name: str = ITK
    orientation: Orientation = "file"
    ending: str = ".nii.gz"

    def __post_init__(self) -> None:
        if self.name not in (*WORLD, *_OWN):
            reader_class(self.name)

    @property
    def endings(self) -> tuple[str, ...]:
        """The endings of the files that it can read, the data set's own first."""
        if self.name in _OWN:
            known: tuple[str, ...] = _OWN[self.name]
        else:
            known = (*nifti_file.ENDINGS, *itk_file.ENDINGS) if self.name in WORLD else ()
        return tuple(dict.fromkeys((self.ending.lower(), *known)))

    def read(self, path: Path) -> tuple[NiftiVolume, ...]:
        """The channels of an image file, or of a folder that holds one DICOM series, each (X, Y, Z).

        Raises `ImageError` for what cannot be read, and for a format that the model does not know.
        """
        if path.is_dir() and self.name in WORLD:
            return read_series(path)
        if not any(path.name.lower().endswith(ending) for ending in self.endings):
            raise ImageError(
                f"{path}: expected an image ending in {', '.join(self.endings)}, which is what the model's reader"
                f" {self.name} knows"
            )
        if self.name not in WORLD:
            return read_with(self.name, path)
        if image_ending(path.name) not in nifti_file.ENDINGS:
            return read_itk(path)
        count = volume_count(path)
        if count == 1:
            return (read_stored(path),)
        return tuple(read_stored(path, volume=k) for k in range(count))

    def channels(self, path: Path) -> int:
        """How many channels an image file holds; raises like `read`."""
        if path.is_file() and image_ending(path.name) in nifti_file.ENDINGS:
            return volume_count(path)
        return len(self.read(path))

    def map(self, volume: NiftiVolume) -> AxisMap:
        """From the file frame of an image to the array that the network's preprocessing begins with."""
        if self.orientation == "canonical":
            # as a converter stores it, reversed, and the reader then reads it
            to_canonical = canonical_map(volume.affine, volume.shape)
            to_stored = to_canonical.then(reversed_map(to_canonical.target_shape))
            affine = volume.affine @ np.linalg.inv(to_stored.matrix())
            return to_stored.then(self._own_map(affine, to_stored.target_shape))
        affine = volume.affine if self.name != NIBABEL_REORIENTS else _nibabel_affine(volume)
        return self._own_map(affine, volume.shape)

    def apply(self, volume: NiftiVolume) -> NiftiVolume:
        """The volume in that frame, as a view: its array, and the affine of its axes.

        Raises `ImageError` for a file that the reader would not read, such as NIfTI for a model of pictures.
        """
        if self.name not in WORLD and not isinstance(volume.header, (ReaderGrid, type(None))):
            raise ImageError(
                f"{volume.path}: expected an image ending in {', '.join(self.endings)}, which is what the model's"
                f" reader {self.name} knows"
            )
        turn = self.map(volume)
        affine = volume.affine @ np.linalg.inv(turn.matrix())
        return replace(volume, array=turn.apply(volume.array), affine=affine)

    def spacing(self, volume: NiftiVolume) -> tuple[float, float, float]:
        """The voxel size in mm along the axes of that array, as nnU-Net's reader states it."""
        turn = self.map(volume)
        a, b, c = (self._sizes(volume, turn)[axis] for axis in turn.axes)
        return a, b, c

    def _sizes(self, volume: NiftiVolume, turn: AxisMap) -> list[float]:
        """The voxel size along the axes of the file.

        nnU-Net takes flat images for very thick. nibabel's readers take pixdim where they do not reorient, and the
        affine where they do, which is another size where a header contradicts itself.
        """
        sizes = list(volume.spacing_mm)
        if len(volume.file_shape) == 2 and self.name in (ITK, ITK_REORIENTS):
            sizes[2] = FLAT_THICKNESS * max(sizes[:2])
        header = volume.header
        if self.orientation == "canonical" or not isinstance(header, nib.Nifti1Header):
            return sizes
        if self.name == NIBABEL or (
            self.name == NIBABEL_REORIENTS and turn == reversed_map(volume.shape)
        ):
            return [float(size) for size in (*header.get_zooms()[:3], *sizes[2:])][:3]
        if self.name == NIBABEL_REORIENTS:
            lengths = np.linalg.norm(_nibabel_affine(volume)[:3, :3], axis=0)
            return [float(length) for length in lengths]
        return sizes

    def _own_map(self, affine: np.ndarray, shape: tuple[int, int, int]) -> AxisMap:
        if self.name == NIBABEL_REORIENTS:
            return ras_map(affine, shape)
        if self.name == ITK_REORIENTS:
            return codes_map(_itk_codes(affine), "SAR", shape)
        return reversed_map(shape)


def _nibabel_affine(volume: NiftiVolume) -> np.ndarray:
    """The affine that nibabel's readers take for a file, whatever else its header states."""
    if not isinstance(volume.header, nib.Nifti1Header):
        return volume.affine
    return np.asarray(volume.header.get_best_affine(), float)


def _itk_codes(affine: np.ndarray) -> str:
    """Where the axes of an image grow to, as ITK sees it; of oblique ones nibabel may see it otherwise."""
    import SimpleITK as sitk

    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    in_lps = np.diag([-1.0, -1.0, 1.0]) @ axes
    return str(
        sitk.DICOMOrientImageFilter_GetOrientationFromDirectionCosines(in_lps.ravel().tolist())
    )
