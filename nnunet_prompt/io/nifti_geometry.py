"""Where the voxels of a NIfTI file lie: what the reader of stock nnU-Net, SimpleITK, takes of its header.

A header states it up to three times, in sform, qform and pixdim, and they may disagree. A header that agrees with
itself is taken as nibabel reads it, which is the same; of any other SimpleITK itself is asked, so that a voxel has the
size here that it had in training. `docs/headers.md` is the table of what comes of it.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.io.geometry import Lattice, same_geometry

FIELDS = (
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)  # all that states where voxels lie
UNITS = {1: "metres", 3: "micrometres"}  # by xyzt_units; anything else is read as mm
UNIT_BITS = 7  # of xyzt_units; the others are for time
_CLOSE = 1e-4  # headers that agree this well leave nothing to choose
_SQUARE = 5e-5  # ITK calls axes sheared from 1e-4 on
_NEVER = 1000  # nibabel's levels of what is wrong end at 50
_SILENT = logging.getLogger(f"{__name__}.silent")
_SILENT.disabled = True
_FACTORS = {None: 1.0, "metres": 1e3, "micrometres": 1e-3}
_TINY, _HUGE = 1e-30, 1e15  # beyond them ITK's arithmetic fails, and prints so
_WARNINGS = threading.Lock()
Affine = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """An affine (4x4, RAS+, mm), which may still be unusable, and in a line each what the header contradicts."""

    affine: Affine
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Stated:
    """The geometry that a header states: `sizes` are pixdim[1:4]; a transform is None where its code is 0, or where it
    is none.
    """

    header: Any
    shape: tuple[int, int, int]
    sizes: Affine
    sform: Affine | None
    qform: Affine | None

    @property
    def unit(self) -> str | None:
        """The unit of length where it is not mm."""
        return UNITS.get(int(self.header["xyzt_units"]) & UNIT_BITS)

    @property
    def transforms(self) -> dict[str, Affine]:
        """The transforms that are there, by name."""
        both = {"sform": self.sform, "qform": self.qform}
        return {
            f"{name} (code {int(self.header[f'{name}_code'])})": affine
            for name, affine in both.items()
            if affine is not None
        }


def taken_geometry(header: Any, shape: tuple[int, int, int], path: Path) -> Taken:
    """The affine that nnU-Net's reader takes, and a note for all that the header states otherwise.

    `header` is a nibabel header with its fields as they are on disk (`restore_fields`). Where SimpleITK refuses it, a
    sheared sform is taken with the voxel sizes of pixdim. Raises `ImageError` if SimpleITK has to be asked and there
    is no folder for temporary files.
    """
    with np.errstate(all="ignore"):
        stated = _read(header, shape)
        plain = _plain(stated)
        if plain is not None:
            return Taken(plain)
        if stated.sform is not None and not np.isfinite(stated.sform).all():
            return Taken(stated.sform)
        turn = max(abs(float(header[f"quatern_{axis}"])) for axis in "bcd")
        if turn > _HUGE and int(header["qform_code"]) > 0:
            return Taken(np.full((4, 4), np.nan))
        asked = _ask_itk(stated, path)
        if asked is None:
            return _refused(stated)
        notes = _notes(stated, asked) if np.isfinite(asked).all() else ()
        return Taken(asked, tuple(notes))


def restore_fields(header: Any, stored: Any) -> None:
    """Puts back what nibabel has changed in `header` while it opened a file whose header is `stored`."""
    for name in FIELDS:
        header[name] = stored[name]


def corrected(header: Any) -> Any:
    """A copy of a header as nibabel corrects it when it opens a file, but with nothing printed and nothing refused."""
    header = header.copy()
    with np.errstate(all="ignore"):
        header.check_fix(logger=_SILENT, error_level=_NEVER)
    return header


def without_unit(header: Any) -> Any:
    """The header with its numbers taken as mm."""
    header = header.copy()
    header["xyzt_units"] = int(header["xyzt_units"]) & ~UNIT_BITS
    return header


def _read(header: Any, shape: tuple[int, int, int]) -> _Stated:
    sizes = np.array(header["pixdim"][1:4], np.float64)
    sound = corrected(header)
    sound["pixdim"][1:4] = np.where(np.isfinite(sizes) & (sizes != 0), np.abs(sizes), 1)
    sform = qform = None
    if int(header["sform_code"]) > 0:
        sform = _with_thickness(np.array(sound.get_sform(), np.float64), sizes, shape)
    if int(header["qform_code"]) > 0:
        try:
            qform = np.array(sound.get_qform(), np.float64)
        except (ValueError, ArithmeticError):
            pass
    if qform is not None and not np.isfinite(qform).all():
        qform = None  # as above: a quaternion that is none, of which ITK makes one
    return _Stated(header, shape, sizes, sform, qform)


def _with_thickness(sform: Affine, sizes: Affine, shape: tuple[int, int, int]) -> Affine:
    """The sform, a single slice without thickness being 1 mm thick, which `sizes` then state as well."""
    normal = np.cross(sform[:3, 0], sform[:3, 1])
    length = np.linalg.norm(normal)
    if shape[2] == 1 and not sform[:3, 2].any() and np.isfinite(length) and length > 0:
        sizes[2] = 1
        sform[:3, 2] = normal / length
    return sform


def _plain(stated: _Stated) -> Affine | None:
    """The affine of a header that agrees with itself, else None."""
    sizes, sform, qform = stated.sizes, stated.sform, stated.qform
    good = np.isfinite(sizes).all() and (sizes > 0).all() and stated.unit is None
    if not good or (qform is None and int(stated.header["qform_code"]) > 0):
        return None
    if sform is None:
        whole = float(stated.header["pixdim"][0]) in (-1, 0, 1)
        return qform if qform is not None and whole and np.isfinite(qform).all() else None
    lengths = np.linalg.norm(sform[:3, :3], axis=0)
    axes = sform[:3, :3] / lengths
    close = np.abs(lengths - sizes) <= _CLOSE * sizes
    if not (np.isfinite(sform).all() and close.all()):
        return None
    if np.abs(axes.T @ axes - np.eye(3)).max() > _SQUARE:
        return None
    agree = qform is None or np.allclose(qform, sform, rtol=_CLOSE, atol=1e-3)
    return sform if agree else None


def _ask_itk(stated: _Stated, path: Path) -> Affine | None:
    """The affine that SimpleITK reads from the header, put before one voxel; None if it refuses."""
    import SimpleITK

    itk: Any = SimpleITK  # which has no types
    display = itk.ProcessObject
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "header.nii"
            file.write_bytes(_one_voxel(stated))
            reader = itk.ImageFileReader()
            reader.SetImageIO("NiftiImageIO")
            reader.SetFileName(str(file))
            with _WARNINGS:  # what ITK reports about the header it prints without a name
                told = display.GetGlobalWarningDisplay()
                display.SetGlobalWarningDisplay(False)
                try:
                    image = reader.Execute()
                except RuntimeError:
                    return None
                finally:
                    display.SetGlobalWarningDisplay(told)
    except OSError as error:
        raise ImageError(
            f"{path}: its header contradicts itself, and asking SimpleITK about it needs a folder for"
            f" temporary files ({error.strerror or error}): set TMPDIR, or correct the header"
        ) from error
    affine = np.eye(4)
    axes = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, :3], affine[:3, 3] = axes, image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # ITK counts to the left and to the back


def _one_voxel(stated: _Stated) -> bytes:
    """A NIfTI file of one voxel that lies as the header states."""
    header = nib.Nifti1Header()
    header.set_data_shape((1, 1, 1))
    header.set_data_dtype(np.uint8)
    for name in FIELDS:
        value = np.asarray(stated.header[name])
        if name.endswith("_code"):
            value = np.clip(value, 0, 99)
        header[name] = value
    header["pixdim"][1:4] = stated.sizes
    for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
        header[name] = 0 if stated.sform is None else stated.sform[row]
    for name in FIELDS:
        value = header[name]
        header[name] = np.where(np.abs(value) < _TINY, 0, value)
    header["magic"], header["vox_offset"] = header.single_magic, header.single_vox_offset
    return bytes(header.binaryblock) + bytes(5)


def _refused(stated: _Stated) -> Taken:
    """The affine for a header that SimpleITK refuses: its sform, with the voxel sizes of pixdim."""
    sform = stated.sform
    if sform is None:
        return Taken(np.full((4, 4), np.nan))
    lengths = np.linalg.norm(sform[:3, :3], axis=0)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        return Taken(sform)
    sizes = np.where(np.isfinite(stated.sizes) & (stated.sizes != 0), np.abs(stated.sizes), 1.0)
    affine = sform.copy()
    affine[:3, :3] *= sizes / lengths
    affine[:3] *= _FACTORS[stated.unit]
    same = same_geometry(Lattice(stated.shape, sform), Lattice(stated.shape, affine))
    how = "as it stands" if same else f"as {describe(affine)}, with the voxel sizes of pixdim"
    note = (
        "the sform is sheared, which SimpleITK, nnU-Net's reader, refuses without a qform:"
        f" {describe(sform)} is taken {how}"
    )
    return Taken(affine, (note,))


def _notes(stated: _Stated, taken: Affine) -> Iterator[str]:
    """Describes what else the header states, with both values."""
    found = describe(taken)
    if stated.unit is not None:
        sizes = " x ".join(f"{s:.6g}" for s in stated.sizes)
        yield f"xyzt_units states {stated.unit}: pixdim {sizes} is taken as {found}, as nnU-Net's reader does"
        taken = (
            np.diag([1 / _FACTORS[stated.unit]] * 3 + [1.0]) @ taken
        )  # to compare what is stated
    if not stated.transforms:
        broken = int(stated.header["qform_code"]) > 0
        what = "a qform without a rotation" if broken else "neither sform nor qform"
        yield f"the header has {what}: taken is {found}, as nnU-Net's reader does"
    differ = False
    for name, affine in stated.transforms.items():
        if not same_geometry(Lattice(stated.shape, affine), Lattice(stated.shape, taken)):
            differ = True
            yield (
                f"the header contradicts itself: {name} states {describe(affine, beside=taken)}, taken is"
                f" {describe(taken, beside=affine)}, as nnU-Net's reader does"
            )
    missing = ~(np.isfinite(stated.sizes) & (stated.sizes != 0))
    if missing.any() and not differ:
        axes = " and ".join(map(str, np.flatnonzero(missing) + 1))
        yield f"pixdim has no voxel size along axis {axes}: taken is {found}, as nnU-Net's reader does"


def describe(affine: Affine, *, beside: Affine | None = None) -> str:
    """Voxel size, axes and origin of an affine in words; of these what differs from `beside`, or its rows."""
    said = _words(affine)
    if beside is not None:
        other = _words(beside)
        said = {name: text for name, text in said.items() if text != other[name]}
    if not said:
        return f"the affine {[[float(f'{v:.4g}') for v in row] for row in affine[:3]]}"
    return ", ".join(f"{name} {text}" for name, text in said.items())


def _words(affine: Affine) -> dict[str, str]:
    sizes = " x ".join(f"{s:.6g}" for s in np.linalg.norm(affine[:3, :3], axis=0))
    origin = ", ".join(f"{v:.6g}" for v in affine[:3, 3] + 0.0)
    axes = "".join(code or "?" for code in nib.aff2axcodes(affine))
    return {"voxel size": f"{sizes} mm", "axes": axes, "origin": f"({origin})"}
