"""The work behind the page: the model, the list of cases, uploads and open tabs, without anything of the web."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nnunet_prompt import __version__
from nnunet_prompt.common.errors import ImageError, OutputError, PromptError
from nnunet_prompt.inference.given import as_volumes
from nnunet_prompt.inference.inputs import mask_name
from nnunet_prompt.io.atomic import check_writable, make_folder
from nnunet_prompt.io.guard import check_output_folder, model_folders
from nnunet_prompt.io.image_cases import without_ending
from nnunet_prompt.io.save_mask import save_mask
from nnunet_prompt.view.cases import Uploads, list_cases
from nnunet_prompt.view.options import ViewOptions
from nnunet_prompt.view.prompt_archive import as_download, read_prompts, write_prompts
from nnunet_prompt.view.tab import Tab
from nnunet_prompt.view.tabs import Tabs
from nnunet_prompt.view.wire import image_bytes, prompt_from_json

if TYPE_CHECKING:
    from nnunet_prompt.inference.predictor import PromptPredictor

T = TypeVar("T")


class Desk:
    """A loaded model and what is open for it. Not safe for several threads; `close` removes uploads."""

    def __init__(
        self, predictor: PromptPredictor, options: ViewOptions, *, model: Path | None = None
    ) -> None:
        """Lists the cases. Raises `NNUNetPromptError` for images that are not there or do not fit the model.

        `model` is the folder of the predictor, which no output may touch.
        """
        self.predictor = predictor
        self.cases = list_cases(options.images, predictor.reader, predictor.n_image_channels)
        self.output = options.output
        if self.output is not None:
            inputs = [*options.images, *(model_folders(model) if model else ())]
            check_output_folder(self.output, inputs, option="another --output")
            make_folder(self.output)
            check_writable(self.output)
        self.most_upload = options.upload_mib << 20
        self.model_name = "" if model is None else model.absolute().name
        self.uploads = Uploads()
        self.tabs = Tabs(options.sessions, options.memory_gib * 2**30)

    def close(self) -> None:
        """Removes uploads."""
        self.uploads.close()

    def start(self) -> dict[str, Any]:
        """What the page shows before a case is open."""
        return {
            "version": __version__,
            "model": self.model_name,
            "structures": [
                {"name": s.name, "value": s.official} for s in self.predictor.table.structures
            ],
            "channels": self.predictor.n_image_channels,
            "endings": list(self.predictor.reader.endings),
            "unsupported": list(self.predictor.model.capability.unsupported),
            "cases": [{"id": c.id, "name": c.name, "folder": c.folder} for c in self.cases],
            "output": None if self.output is None else str(self.output),
        }

    def open(self, given: dict[str, Any], key: str | None) -> dict[str, Any]:
        """Opens a case of the list or of uploads, in a new tab or in the place of the one of `key`.

        Raises `ImageError` for what is not in the list, and for images that do not fit the model.
        """
        uploads = given.get("uploads")
        if isinstance(uploads, list) and uploads and all(isinstance(one, str) for one in uploads):
            images = [self.uploads.find(one) for one in uploads]
            name = without_ending(images[0].name).removesuffix("_0000")
        else:
            case = next((c for c in self.cases if c.id == given.get("case")), None)
            if case is None:
                raise ImageError("case: not in the list of the folders that were given")
            images, name = list(case.images), case.name
        try:
            volumes = as_volumes(images, self.predictor.reader)
            tab = Tab(self.predictor, name, volumes)
        finally:
            for one in uploads if isinstance(uploads, list) else ():
                self.uploads.remove(one)
        first = volumes[0]
        return {
            "tab": self.tabs.add(tab, key),
            "case": name,
            "shape": list(first.shape),
            "affine": first.affine.tolist(),
            "channels": len(volumes),
            "ranges": [[float(v.array.min()), float(v.array.max())] for v in volumes],
            "notes": [note for volume in volumes for note in volume.notes],
        }

    @staticmethod
    def add_prompt(tab: Tab, given: dict[str, Any]) -> None:
        """Adds a prompt of the page to its label."""
        if "label" not in given:
            raise PromptError("label: missing")
        tab.add([prompt_from_json(given)], given["label"])

    @staticmethod
    def remove_prompt(tab: Tab, given: dict[str, Any]) -> None:
        """Removes a prompt of a label, which the page names by its kind and its number in the answer."""
        number = given.get("number")
        if isinstance(number, bool) or not isinstance(number, int):
            raise PromptError(f"number: expected a whole number from 0 on, found {number!r}")
        tab.remove(given.get("label", ""), str(given.get("kind")), number)

    def image(self, tab: Tab, channel: str) -> bytes:
        """The voxels of a channel (`view.wire`)."""
        known = [str(i) for i in range(len(tab.volumes))]
        if channel not in known:
            raise ImageError(f"channel: expected one of {', '.join(known)}, found {channel[:20]!r}")
        return image_bytes(tab.volumes[int(channel)])[0]

    def export_prompts(self, tab: Tab) -> tuple[str, bytes]:
        """The name and the content of the prompts as a file."""
        return self._in_scratch(lambda folder: as_download(tab, folder))

    def read_prompts(self, tab: Tab, name: str, content: bytes) -> None:
        """Puts the prompts of an uploaded file in the place of those of a tab."""
        most = self.most_upload
        tab.add_case(
            self._in_scratch(lambda folder: read_prompts(tab, name, content, folder, most=most))
        )

    def export_mask(self, tab: Tab) -> tuple[str, bytes]:
        """The name and the content of the mask, on the image's grid and in its format."""
        name = self._mask_name(tab)

        def write(folder: Path) -> bytes:
            return save_mask(tab.mask, folder / name, like=tab.volumes[0]).read_bytes()

        return name, self._in_scratch(write)

    def save(self, tab: Tab) -> list[str]:
        """Writes the mask and the prompts to the output folder, and returns the paths of the files.

        Raises `OutputError` if there is no such folder.
        """
        if self.output is None:
            raise OutputError("save: no output folder; start with --output FOLDER, or download")
        mask = save_mask(tab.mask, self.output / self._mask_name(tab), like=tab.volumes[0])
        prompts = write_prompts(tab, self.output) if tab.steps else []
        return [str(path) for path in (mask, *prompts)]

    def _mask_name(self, tab: Tab) -> str:
        return mask_name(tab.name, tab.volumes[0].path, self.predictor.reader)

    def _in_scratch(self, work: Callable[[Path], T]) -> T:
        folder = self.uploads.scratch()
        try:
            return work(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
