"""The prompts file of `nnunet-prompt predict -p`: the project's own form, or a prompts.json of TFM4MedIA.

    {"format": "nnunet-prompt", "version": 1, "cases": {"case_001": {"500": {
        "points":    [{"position": [i, j, k], "positive": true}],
        "boxes":     [{"lower": [i, j, k], "upper": [i, j, k], "positive": true}],
        "scribbles": [{"path": [[i, j, k], ...], "positive": true}],
        "mask": "rough_mask.nii.gz", "mask_label": 1}}}}

Our own form counts voxels of the image file's array, in nibabel's axis order. Boxes are half-open. "positive" is true
where it is left out. A mask lies on the image's grid and its path is relative to the prompts file; it is the voxels of
value "mask_label", or all that are not 0. A file without "format" is read as a prompts.json.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from nnunet_prompt.challenge.images import find_key
from nnunet_prompt.data.geometry import geometry_difference, same_geometry
from nnunet_prompt.data.nifti import NiftiVolume, read_label_volume
from nnunet_prompt.errors import PromptError, PromptFileError
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.model import Box, CasePrompts, Point, PromptSet, Scribble
from nnunet_prompt.reading.convention import DEFAULT, JsonConvention, RawCase
from nnunet_prompt.reading.prompts_json import (
    MAX_NUMBER,
    load_json,
    parse_prompts_json,
    shorten,
)

FORMAT = "nnunet-prompt"


@dataclass(frozen=True, slots=True)
class PromptFile:
    """The prompts of several cases, each to be placed in its own image."""

    path: Path
    cases: Mapping[str, RawCase | OwnCase]
    convention: JsonConvention = DEFAULT

    def without_prompts(self, cases: Iterable[str]) -> list[str]:
        """Those of the `cases` that the file does not name."""
        return [case for case in cases if find_key(self.cases, case) is None]

    def prompts(self, case: str, image: NiftiVolume) -> CasePrompts:
        """The prompts of a case in the file frame of its image, or in PLS for a prompts.json.

        Raises `PromptFileError` if the file does not name the case, or if its prompts do not fit the image.
        """
        key = find_key(self.cases, case)
        if key is None:
            names = ", ".join(shorten(name) for name in list(self.cases)[:3])
            more = ", ..." if len(self.cases) > 3 else ""
            raise PromptFileError(
                f"{self.path}: no prompts for case {case!r}, it names {names or 'no case'}{more}"
            )
        found = self.cases[key]
        if isinstance(found, RawCase):
            shape = pls_map(image.affine, image.shape).target_shape
            return found.to_prompts(shape, self.convention)
        labels = {}
        for label, prompts in found.items():
            try:
                labels[int(label)] = one = _prompt_set(prompts, image, self.path.parent)
                one.check_inside(image.shape)
            except PromptError as error:
                where = f"{self.path.name}: cases.{key}.{label}"
                raise PromptFileError(f"{where}: {error}") from error
        return CasePrompts(labels)


def load_prompts(path: Path, *, convention: JsonConvention = DEFAULT) -> PromptFile:
    """Reads a prompts file of either form; `convention` applies to a prompts.json only.

    Raises `PromptFileError` in one line for anything wrong that can be seen without the images.
    """
    content = load_json(path)
    if not isinstance(content, dict) or "format" not in content:
        parsed = parse_prompts_json(content, path.name)
        problems = [p for case in parsed.cases.values() for p in case.problems]
        if problems:
            raise PromptFileError(f"{problems[0]}{_more(len(problems))}")
        return PromptFile(path, parsed.cases, convention)
    if content["format"] != FORMAT:
        raise PromptFileError(
            f"{path.name}: format must be {FORMAT!r}, found {shorten(content['format'])}"
        )
    twice = _find_twice(content)
    if twice:
        raise PromptFileError(f"{path.name}: {twice} is there more than once")
    try:
        return PromptFile(path, _OwnFile.model_validate(dict(content)).cases)
    except ValidationError as error:
        raise PromptFileError(f"{path.name}: {_first(error)}") from error


def _check_label(key: str) -> str:
    if not (key.isascii() and key.isdigit() and len(key) < 10 and not key.startswith("0")):
        raise ValueError('a label id must be a whole number above 0, such as "500"')
    return key


_Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-MAX_NUMBER, le=MAX_NUMBER)]
_Position = tuple[_Number, _Number, _Number]
_Sign = Annotated[bool, Field(strict=True)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Point(_Model):
    position: _Position
    positive: _Sign = True


class _Box(_Model):
    lower: _Position
    upper: _Position
    positive: _Sign = True

    @model_validator(mode="after")
    def _ordered(self) -> _Box:
        if not all(a < b for a, b in zip(self.lower, self.upper, strict=True)):
            raise ValueError(
                f"every lower corner must be below its upper corner, found {self.lower} and"
                f" {self.upper}"
            )
        return self


class _Scribble(_Model):
    path: Annotated[tuple[_Position, ...], Field(min_length=1)]
    positive: _Sign = True


class _Label(_Model):
    points: tuple[_Point, ...] = ()
    boxes: tuple[_Box, ...] = ()
    scribbles: tuple[_Scribble, ...] = ()
    mask: Annotated[str, Field(min_length=1)] | None = None
    mask_label: Annotated[int, Field(strict=True, gt=0)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> _Label:
        if self.mask is None and self.mask_label is not None:
            raise ValueError("mask_label needs a mask")
        if self.mask is None and not (self.points or self.boxes or self.scribbles):
            raise ValueError("no prompt: give points, boxes, scribbles or a mask")
        return self


OwnCase = dict[Annotated[str, AfterValidator(_check_label)], _Label]


class _OwnFile(_Model):
    format: Literal["nnunet-prompt"]
    version: Literal[1]
    cases: dict[str, OwnCase]


def _prompt_set(prompts: _Label, image: NiftiVolume, folder: Path) -> PromptSet:
    return PromptSet(
        tuple(Point(p.position, p.positive) for p in prompts.points),
        tuple(Box(b.lower, b.upper, b.positive) for b in prompts.boxes),
        tuple(Scribble(s.path, s.positive) for s in prompts.scribbles),
        None if prompts.mask is None else _read_mask(prompts, image, folder),
    )


def _read_mask(prompts: _Label, image: NiftiVolume, folder: Path) -> Any:
    mask = read_label_volume(folder / str(prompts.mask))
    if mask.shape != image.shape:
        raise PromptError(f"mask {mask.path}: its shape is {mask.shape}, the image's {image.shape}")
    if not same_geometry(mask, image):
        raise PromptError(
            f"mask {mask.path}: its affine is not that of the image {image.path}:"
            f" {geometry_difference(mask, image)}"
        )
    if prompts.mask_label is None:
        return mask.array != 0
    return mask.array == prompts.mask_label


def _find_twice(content: Any) -> str | None:
    """The path of a key that an object of the file has more than once."""
    rest: list[tuple[str, Any]] = [("", content)]
    while rest:
        path, value = rest.pop()
        if isinstance(value, list):
            rest += [(f"{path}[{i}]", entry) for i, entry in enumerate(value)]
        elif isinstance(value, dict):
            for key in getattr(value, "twice", ()):
                return f"{path}.{key}".lstrip(".")
            rest += [(f"{path}.{key}", entry) for key, entry in value.items()]
    return None


def _first(error: ValidationError) -> str:
    """The first error in one line: `cases.case_001.500.points[0].position: ...`."""
    details = error.errors(include_url=False, include_context=False)
    path = "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}"
        for step in details[0]["loc"]
        if step != "[key]"
    )
    message = details[0]["msg"].removeprefix("Value error, ").replace("tuple", "list")
    message = re.sub(r"a valid dictionary( or instance of \w+)?", "an object", message)
    found = details[0]["input"]
    said = "" if isinstance(found, (dict, BaseModel)) else f", found {shorten(found)}"
    line = f"{path.lstrip('.')}: {message}{said}"
    return " ".join(line.split()) + _more(len(details))


def _more(count: int) -> str:
    return f" (and {count - 1} more)" if count > 1 else ""
