"""NIfTI images whose header goes to disk as it is, so that a mask lies where every program sees its image."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt


class _Verbatim:
    """Keeps nibabel from correcting a header that it writes: negative voxel sizes, undefined codes."""

    def check_fix(self, *_: Any, **__: Any) -> None:
        """Corrects nothing."""


class _Header1(_Verbatim, nib.Nifti1Header):
    pass


class _Header2(_Verbatim, nib.Nifti2Header):
    pass


class _Image1(nib.Nifti1Image):
    header_class = _Header1


class _Image2(nib.Nifti2Image):
    header_class = _Header2


def verbatim_image(array: npt.NDArray[Any], header: Any) -> Any:
    """A nibabel image of an array with a copy of a header, of which shape and type alone are changed."""
    two = isinstance(header, nib.Nifti2Header)
    kind: Any = _Image2 if two else _Image1
    copied = kind.header_class(header.binaryblock, header.endianness, False, header.extensions)
    copied.set_data_dtype(np.dtype(array.dtype))
    return kind(array, None, copied)
