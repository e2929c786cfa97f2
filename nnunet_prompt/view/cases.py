"""The images that the page may open: those of the given files and folders, and uploads. The page names them by ids.

A path never comes from the page, so nothing outside the given folders can be read.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.inference.inputs import input_files
from nnunet_prompt.io.image_cases import ImageCase, group_channels, without_ending
from nnunet_prompt.io.image_files import image_ending

if TYPE_CHECKING:
    from nnunet_prompt.data.plans_reader import ImageReader

MOST_UPLOADS = 16  # that wait to be opened


@dataclass(frozen=True, slots=True)
class Listed:
    """A case of the list: its id, its name, its images in the model's order, and the folder that they lie in."""

    id: str
    name: str
    images: tuple[Path, ...]
    folder: str


def list_cases(given: Sequence[Path], reader: ImageReader, n_channels: int) -> list[Listed]:
    """The cases of image files and of folders, in their order.

    Raises `NNUNetPromptError` for what is neither, and for files that do not fit the number of channels.
    """
    found: list[Listed] = []
    files = [path for path in given if path.is_file()]
    groups = [("", files)] if files else []
    groups += [(str(path), input_files(path, reader)) for path in given if not path.is_file()]
    for folder, paths in groups:
        for case in _grouped(paths, n_channels):
            if len(paths) == 1 and paths[0].is_dir():  # a DICOM series
                images: tuple[Path, ...] = (paths[0],)
            else:
                images = tuple(case.pick(n_channels).values())
            found.append(Listed(str(len(found)), case.case, images, folder))
    return found


def _grouped(paths: Iterable[Path], n_channels: int) -> list[ImageCase]:
    paths = list(paths)
    try:
        return group_channels(paths, keys=(), n_channels=n_channels)
    except NNUNetPromptError:  # vol_0000 beside vol_0001: of one channel, each file is a case
        if n_channels > 1:
            raise
        return group_channels(paths, keys=(), n_channels=1, whole_names=True)


class Uploads:
    """Files that came from the page and wait to be opened, in a folder that is removed by `close`."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="nnunet_prompt_view_"))
        self._kept: OrderedDict[str, Path] = OrderedDict()
        self._numbers = itertools.count()

    def place(self, name: str) -> tuple[str, Path]:
        """An id and the path that an upload of this name is written to.

        Of more than `MOST_UPLOADS` the oldest is removed. Raises `ImageError` for a name that is no image's.
        """
        plain = PurePosixPath(PureWindowsPath(name).name).name
        if image_ending(plain) in ("", ".dcm") or not without_ending(plain).strip("."):
            raise ImageError(
                f"{plain or 'upload'}: expected an image file, such as case_001.nii.gz"
            )
        key = str(next(self._numbers))
        folder = self._folder / key
        folder.mkdir()
        self._kept[key] = folder / plain
        while len(self._kept) > MOST_UPLOADS:
            self.remove(next(iter(self._kept)))
        return key, folder / plain

    def scratch(self) -> Path:
        """A new empty folder for files that are needed for a moment."""
        return Path(tempfile.mkdtemp(dir=self._folder))

    def find(self, key: str) -> Path:
        """The file of an id. Raises `ImageError` if it is not there (any more)."""
        path = self._kept.get(key)
        if path is None or not path.is_file():
            raise ImageError(f"upload {key!r}: not here any more; upload the image again")
        return path

    def remove(self, key: str) -> None:
        """Removes the file of an id, if it is there."""
        path = self._kept.pop(key, None)
        if path is not None:
            shutil.rmtree(path.parent, ignore_errors=True)

    def close(self) -> None:
        """Removes all files."""
        self._kept.clear()
        shutil.rmtree(self._folder, ignore_errors=True)
