"""Which socket of a platform is what: a JSON file that maps slugs to roles.

    {"version": 1,
     "inputs": {
        "ct-image":      {"role": "image", "channel": 0},
        "pet-image":     {"role": "image", "channel": 1},
        "lesion-clicks": {"role": "annotation", "space": "voxel",
                          "names": {"tumor": 1, "background": {"label": 1, "positive": false}}},
        "previous-mask": {"role": "mask"},
        "prompts":       {"role": "prompts"},
        "patient-age":   {"role": "ignored"}},
     "outputs": {
        "tumor-lesion-segmentation": {"file": "{image}.mha", "structures": ["lesion"], "values": {"lesion": 1}}}}

Files for each form come with the package; `submit --sockets FILE`, or a sockets.json beside the model, takes their
place.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nnunet_prompt.common.arguments import shown
from nnunet_prompt.common.errors import DatasetError, NNUNetPromptError, did_you_mean
from nnunet_prompt.io.image_files import ENDINGS
from nnunet_prompt.io.json_file import read_object

SOCKETS_FILE = "sockets.json"  # beside a model
Role = Literal["image", "prompts", "annotation", "mask", "ignored"]
_MASKS = (".mha", ".nii.gz", ".nii", ".nrrd", ".gipl")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NamedLabel(_Model):
    """The label, by value or by the name of a structure, that a name in an annotation means, and its sign."""

    label: int | str
    positive: bool = True

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        return {"label": value} if isinstance(value, (int, str)) else value


class InputSocket(_Model):
    """What an input socket holds.

    role       an image; prompts in any form that `predict -p` reads; an annotation in the platform's own JSON; the
               mask of an earlier round; or nothing for us
    channel    of an image: the images of a job, sorted by it, are the channels of the model
    sequence   of an image: which sequence of a patient it is, any of which may be missing
    space      of an annotation: mm (LPS, RAS) or voxels of the image
    names      of an annotation: which label a name means; other names are structures or values themselves
    scribbles  of an annotation: its points are the vertices of scribbles
    folder     below INPUT, where neither inputs.json nor the slug states it
    """

    role: Role
    channel: Annotated[int, Field(ge=0)] = 0
    sequence: Literal["LGE", "DE", "C0", "T2"] | None = None
    space: Literal["voxel", "RAS", "LPS"] = "LPS"
    names: dict[str, NamedLabel] = Field(default_factory=dict)
    scribbles: bool = False
    folder: str | None = None


class OutputSocket(_Model):
    """What an output socket takes.

    path        folder below OUTPUT; images/<slug> where it is left out
    file        name of the mask; {image} stands for the name of the first image without its ending
    structures  what to find without prompts, by name; everything, where it is left out
    values      which value a label (value or structure) is written as; the others are left out. Without it, labels are
                written as they are
    """

    path: str | None = None
    file: str = "output.mha"
    structures: tuple[str, ...] = ()
    values: Mapping[str, Annotated[int, Field(gt=0)]] | None = None

    @model_validator(mode="after")
    def _is_safe(self) -> OutputSocket:
        if not self.file.lower().endswith(_MASKS) or "/" in self.file:
            raise ValueError(f"file: expected a name that ends in {', '.join(_MASKS)}")
        if self.path is not None:
            check_below(self.path)
        return self

    def target(self, slug: str, image: str) -> PurePosixPath:
        """The path of the mask below OUTPUT; `image` is the first image's name without its ending."""
        folder = PurePosixPath(self.path or f"images/{slug}")
        return folder / self.file.replace("{image}", image)


class Sockets(_Model):
    """The sockets of a job by slug.

    start  what prompts begin with where there is no earlier mask: themselves alone, or the structures that the model
           finds, which they then correct
    """

    version: Literal[1] = 1
    start: Literal["prompts", "structures"] = "prompts"
    inputs: Annotated[Mapping[str, InputSocket], Field(min_length=1)]
    outputs: Annotated[Mapping[str, OutputSocket], Field(min_length=1)]

    def of(self, slug: str, where: str) -> InputSocket:
        """The input socket of that slug. Raises `DatasetError` for one that is not configured; `where` it stands."""
        if slug not in self.inputs:
            raise DatasetError(
                f"{where}: unknown slug {slug!r}{did_you_mean(slug, self.inputs)} state its role in a sockets file:"
                f' --sockets FILE, or {SOCKETS_FILE} in the model tarball with "inputs": {{"{slug}": {{"role": ...}}}}'
            )
        return self.inputs[slug]

    @property
    def structures(self) -> tuple[str, ...]:
        """The structures that the outputs ask for; none if one of them takes all."""
        if not all(one.structures for one in self.outputs.values()):
            return ()
        return tuple(dict.fromkeys(n for one in self.outputs.values() for n in one.structures))


def default_sockets(form: str) -> Sockets:
    """The sockets that come with the package for a form."""
    text = files(__package__).joinpath("sockets", f"{form}.json").read_text(encoding="utf-8")
    return Sockets.model_validate_json(text)


def read_sockets(path: Path) -> Sockets:
    """The sockets of a file. Raises `DatasetError` in one line for anything else."""
    content = read_object(path, DatasetError, missing="give a sockets file with --sockets")
    try:
        return Sockets.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        found = "" if isinstance(first["input"], dict) else f", found {shown(first['input'])}"
        reason = first["msg"].removeprefix("Value error, ")
        raise DatasetError(
            f'{path}: {key}: {reason}{found}; expected for example {{"inputs": {{"ct-image": {{"role": "image"}}}},'
            ' "outputs": {"segmentation": {"file": "output.mha"}}}'
        ) from None


def sockets_for(form: str, given: Path | None, folders: tuple[Path, ...]) -> Sockets:
    """The sockets that were given, else those of the first folder that holds a file of them, else the defaults."""
    if given is not None:
        return read_sockets(given)
    for folder in folders:
        if (folder / SOCKETS_FILE).is_file():
            return read_sockets(folder / SOCKETS_FILE)
    return default_sockets(form)


def check_below(path: str) -> PurePosixPath:
    """A relative path that stays below its folder. Raises `NNUNetPromptError` for any other."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in path:
        raise NNUNetPromptError(f"expected a path below the folder, found {path!r}")
    return pure


def is_image_name(name: str) -> bool:
    """Whether a file name ends like an image."""
    return name.lower().endswith(ENDINGS) and not name.startswith(".")
