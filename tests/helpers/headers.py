"""NIfTI files whose headers contradict themselves, one for each row of docs/headers.md and more."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

SIZES = (1.5, 2.0, 8.0)
SHAPE = (4, 6, 5)
NAN = float("nan")


def oblique(degrees: tuple[float, float, float] = (10, 20, 30), origin: Any = (10, -20, 30)) -> Any:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() * SIZES
    affine[:3, 3] = origin
    return affine


TRUE = oblique()
OTHER = oblique((40, -20, 10), (1, 2, 3))
UNIT = np.hstack([TRUE[:, :3] / np.array(SIZES), TRUE[:, 3:]])
SHEARED = TRUE @ np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
SINGULAR = TRUE[:, [0, 0, 2, 3]]
FLIPPED = TRUE @ np.diag([-1, 1, 1, 1])


@dataclass(frozen=True)
class Header:
    """What a header says; `changes` are fields that are set last, as they are to be on disk."""

    qform: Any = None
    sform: Any = None
    codes: tuple[int, int] = (0, 0)  # of qform and sform
    pixdim: tuple[float, ...] = SIZES
    changes: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path, array: Any, *, kind: Any = nib.Nifti1Image) -> Path:
        """A file that holds `array`, unpacked or packed by its name."""
        image = kind(array, None)
        content = bytearray(image.to_bytes())
        header = kind.header_class(bytes(content[: kind.header_class.sizeof_hdr]), "<", check=False)
        if self.qform is not None:
            header.set_qform(self.qform, 1)
        if self.sform is not None:
            header.set_sform(self.sform, 1)
        header["pixdim"][1:4] = self.pixdim
        header["qform_code"], header["sform_code"] = self.codes
        header["xyzt_units"] = 2
        for name, value in self.changes.items():
            header[name] = value
        content[: len(header.binaryblock)] = header.binaryblock
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(content))
        if path.suffix == ".gz":
            path.write_bytes(gzip.compress(bytes(content)))
        return path


ACDC = Header(TRUE, UNIT, (1, 1))
AGREE = {
    "sform and qform alike": Header(TRUE, TRUE, (1, 1)),
    "sform and qform alike, codes of another space": Header(TRUE, TRUE, (2, 4)),
    "sform alone": Header(None, TRUE, (0, 1)),
    "sform alone, code 4": Header(None, TRUE, (0, 4)),
    "qform alone": Header(TRUE, None, (1, 0)),
    "qform alone, a left sform without code": Header(TRUE, OTHER, (1, 0)),
    "det < 0, sform": Header(None, FLIPPED, (0, 1)),
    "det < 0, qform": Header(FLIPPED, None, (1, 0)),
    "no unit": Header(TRUE, TRUE, (1, 1), changes={"xyzt_units": 0}),
    "mm, and seconds": Header(TRUE, TRUE, (1, 1), changes={"xyzt_units": 10}),
}
CONTRADICT = {
    "axes of length one (ACDC)": ACDC,
    "axes of length one (ACDC), sform alone": Header(None, UNIT, (0, 1)),
    "axes of length one (ACDC), code 2": Header(TRUE, UNIT, (1, 2)),
    "other place, sform code 1": Header(TRUE, OTHER, (1, 1)),
    "other place, sform code 1, qform code 2": Header(TRUE, OTHER, (2, 1)),
    "other place, another sform code: 2": Header(TRUE, OTHER, (1, 2)),
    "other place, another sform code: 4": Header(TRUE, OTHER, (3, 4)),
    "other place, another sform code: both 2": Header(TRUE, OTHER, (2, 2)),
    "flipped, sform code 1": Header(TRUE, FLIPPED, (1, 1)),
    "flipped, sform code 2": Header(TRUE, FLIPPED, (1, 2)),
    "sheared sform and qform": Header(TRUE, SHEARED, (1, 1)),
    "singular sform and qform": Header(TRUE, SINGULAR, (1, 1)),
    "singular sform and qform, zeros": Header(TRUE, np.diag([0, 0, 0, 1.0]), (1, 1)),
    "neither": Header(),
    "neither, but numbers": Header(TRUE, TRUE, (0, 0)),
    "metres": Header(TRUE, TRUE, (1, 1), changes={"xyzt_units": 1}),
    "micrometres": Header(TRUE, TRUE, (1, 1), changes={"xyzt_units": 3}),
    "metres, sform alone": Header(None, TRUE, (0, 1), changes={"xyzt_units": 1}),
    "micrometres, and seconds, qform alone": Header(TRUE, None, (1, 0), changes={"xyzt_units": 11}),
    "metres, neither": Header(changes={"xyzt_units": 1}),
    "metres, axes of length one": Header(TRUE, UNIT, (1, 1), changes={"xyzt_units": 1}),
    "another pixdim than the sform": Header(None, TRUE, (0, 1), (9.0, 9.0, 9.0)),
    "pixdim of zero, NaN or infinite: zeros": Header(None, TRUE, (0, 1), (0.0, 0.0, 0.0)),
    "pixdim of zero, NaN or infinite: NaN": Header(None, TRUE, (0, 1), (NAN, 2.0, 8.0)),
    "pixdim of zero, NaN or infinite: qform": Header(TRUE, None, (1, 0), (1.5, float("inf"), 8.0)),
    "negative pixdim": Header(None, TRUE, (0, 1), (-1.5, 2.0, 8.0)),
    "negative pixdim, qform": Header(TRUE, None, (1, 0), (1.5, 2.0, -8.0)),
    "negative pixdim, neither": Header(pixdim=(-1.5, 2.0, 8.0)),
    "NaN in the qform": Header(TRUE, None, (1, 0), changes={"quatern_b": NAN}),
    "other place, another sform code: qform without rotation": Header(
        TRUE, TRUE, (1, 2), changes={"quatern_b": 3.0}
    ),
    "neither, codes below 0": Header(TRUE, TRUE, (-1, -1)),
    "an undefined code": Header(TRUE, OTHER, (1, 99)),
}
REFUSED_BY_ITK = {
    "sheared sform alone": Header(None, SHEARED, (0, 1), tuple(np.linalg.norm(SHEARED[:3, :3], axis=0))),
    "sheared sform alone, code 3": Header(None, SHEARED, (0, 3)),
}  # fmt: skip
REFUSED = {
    "singular sform alone": (Header(None, SINGULAR, (0, 1)), "singular"),
    "singular sform alone, zeros": (
        Header(None, np.diag([0, 0, 0, 1.0]), (0, 1)),
        "no spacing of 0",
    ),
    "NaN in the sform": (Header(None, TRUE, (0, 1), changes={"srow_x": [NAN] * 4}), "finite"),
    "NaN in the sform, and qform": (
        Header(TRUE, TRUE, (1, 1), changes={"srow_y": [NAN] * 4}),
        "finite",
    ),
    "a quaternion that is none": (Header(TRUE, None, (1, 0), changes={"quatern_b": 3.0}), "NIfTI"),
}


def contradict(path: Path, target: Path | None = None) -> Path:
    """Gives a file (or a copy of it) axes of length one in the sform; its true geometry stays in qform and pixdim."""
    image = nib.load(path)
    affine = image.affine.copy()
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    unit = affine.copy()
    unit[:3, :3] /= sizes
    content = nib.Nifti1Image(np.asanyarray(image.dataobj), None, image.header)
    content.header.set_qform(affine, 1)
    content.header.set_sform(unit, 1)
    content.header["pixdim"][1:4] = sizes
    content.to_filename(target or path)
    return target or path
