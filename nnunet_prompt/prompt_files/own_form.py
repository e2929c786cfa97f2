"""The project's own form of prompts.

    {"format": "nnunet-prompt", "version": 1, "space": "voxel", "cases": {"case_001": {"500": {
        "points":    [[i, j, k], {"position": [i, j, k], "positive": false}],
        "boxes":     [{"lower": [i, j, k], "upper": [i, j, k], "positive": true}],
        "scribbles": [[[i, j, k], ...], {"path": [[i, j, k], ...], "positive": true}],
        "mask": "rough_mask.nii.gz", "mask_label": 1,
        "negative_mask": "others.nii.gz", "negative_mask_label": 2,
        "text": "left ventricular cavity"}}}}

Labels are whole numbers or names of the model's structures. "space" is "voxel" (of the image file's array, in nibabel's
axis order; the default), "RAS" or "LPS" (mm), and may stand in the file, in a case, a label or a prompt: the innermost
counts. Boxes of voxels are half-open, boxes in mm lie between two corners. "positive" is true where it is left out. A
mask lies on the image's grid and its path is relative to the prompts file; it is the voxels of value "mask_label", or
all that are not 0. A negative mask, read alike, is where the label is not. A text, or a list of them, names a structure
of the model, which answers for a label that nothing points at; as the key of a case it has no label. A file of one case
may have "labels" instead of "cases".
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from nnunet_prompt.common.errors import PromptFileError
from nnunet_prompt.prompt_files.label_text import LabelText, is_label_key
from nnunet_prompt.prompt_files.located import (
    BodyAt,
    BoxAt,
    Located,
    MaskAt,
    PathAt,
    PointAt,
    TextAt,
)
from nnunet_prompt.prompt_files.prompts_json import MAX_NUMBER, shorten
from nnunet_prompt.prompt_files.segmentation import read_mask
from nnunet_prompt.prompt_files.text import LONGEST, TEXT_SAMPLE, as_phrases
from nnunet_prompt.prompts.world import Space

FORMAT = "nnunet-prompt"
SAMPLE = '{"format": "nnunet-prompt", "version": 1, "cases": {"case_001": {"500": {"points": [[88, 97, 5]]}}}}'
_SAMPLES = {
    "points": '"points": [[88, 97, 5]]',
    "boxes": '"boxes": [{"lower": [70, 80, 5], "upper": [110, 120, 6]}]',
    "scribbles": '"scribbles": [[[88, 97, 6], [92, 99, 6]]]',
    "mask": '"mask": "rough.nii.gz", "mask_label": 1',
    "mask_label": '"mask": "rough.nii.gz", "mask_label": 1',
    "negative_mask": '"negative_mask": "others.nii.gz", "negative_mask_label": 2',
    "negative_mask_label": '"negative_mask": "others.nii.gz", "negative_mask_label": 2',
    "space": '"space": "RAS"',
    "text": TEXT_SAMPLE,
}


def parse_own_form(content: Mapping[str, Any], path: Path) -> dict[str | None, tuple[Located, ...]]:
    """The prompts of each case by its key; of a file with "labels" there is one, whose key is None.

    Raises `PromptFileError` in one line with a sample for anything wrong that can be seen without the images.
    """
    if content["format"] != FORMAT:
        raise PromptFileError(
            f"{path.name}: format must be {FORMAT!r}, found {shorten(content['format'])}"
        )
    twice = find_twice(content)
    if twice:
        raise PromptFileError(f"{path.name}: {twice} is there more than once")
    one = "labels" in content and "cases" not in content
    given = {k: v for k, v in content.items() if k != "labels"} if one else dict(content)
    if one:
        given["cases"] = {"": content["labels"]}
    try:
        file = _OwnFile.model_validate(given)
    except ValidationError as error:
        line = _first(error).replace("cases.", "labels", 1) if one else _first(error)
        raise PromptFileError(f"{path.name}: {line}") from error
    found: dict[str | None, tuple[Located, ...]] = {}
    for case, content_of in file.cases.items():
        where = f"{path.name}: {'labels' if one else f'cases.{case}'}"
        found[None if one else case] = tuple(
            _located(content_of, file.space, where, path.absolute().parent)
        )
    return found


def _check_label(key: str) -> str:
    if not is_label_key(key):
        raise ValueError(
            'a label id must be a whole number above 0, such as "500", or the name of a structure'
        )
    return key


_Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-MAX_NUMBER, le=MAX_NUMBER)]
_Position = tuple[_Number, _Number, _Number]
_Sign = Annotated[bool, Field(strict=True)]
_Space = Literal["voxel", "RAS", "LPS"]
_Path = Annotated[str, Field(min_length=1)]
_Value = Annotated[int, Field(strict=True, gt=0)]
_Phrase = Annotated[str, Field(min_length=1, max_length=LONGEST, pattern=r"\S")]
_Phrases = Annotated[
    tuple[_Phrase, ...],
    Field(min_length=1),
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Prompt(_Model):
    positive: _Sign = True
    space: _Space | None = None


class _Point(_Prompt):
    position: _Position

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        return {"position": value} if isinstance(value, (list, tuple)) else value


class _Box(_Prompt):
    lower: _Position
    upper: _Position

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        pair = isinstance(value, (list, tuple)) and len(value) == 2
        return {"lower": value[0], "upper": value[1]} if pair else value


class _Scribble(_Prompt):
    path: Annotated[tuple[_Position, ...], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, (list, tuple)) else value


class _Label(_Model):
    points: tuple[_Point, ...] = ()
    boxes: tuple[_Box, ...] = ()
    scribbles: tuple[_Scribble, ...] = ()
    mask: _Path | None = None
    mask_label: _Value | None = None
    negative_mask: _Path | None = None
    negative_mask_label: _Value | None = None
    text: _Phrases = ()
    space: _Space | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        if isinstance(value, str) or as_phrases(value) is not None:
            return {"text": value}
        return {"points": value} if isinstance(value, (list, tuple)) else value

    @model_validator(mode="after")
    def _says_something(self) -> _Label:
        if self.mask is None and self.mask_label is not None:
            raise ValueError("mask_label needs a mask")
        if self.negative_mask is None and self.negative_mask_label is not None:
            raise ValueError("negative_mask_label needs a negative_mask")
        shapes = (self.points, self.boxes, self.scribbles, self.mask, self.negative_mask)
        if not any((*shapes, self.text)):
            raise ValueError(
                "no prompt: give points, boxes, scribbles, a mask, a negative_mask or a text"
            )
        return self

    def masks(self, folder: Path) -> Iterator[tuple[MaskAt, bool]]:
        """The mask and the negative mask, those that are given, each with its sign."""
        for name, value, positive in (
            (self.mask, self.mask_label, True),
            (self.negative_mask, self.negative_mask_label, False),
        ):
            if name is not None:
                path = folder / name
                yield MaskAt(path, partial(read_mask, path, value)), positive


class _OwnCase(_Model):
    """The labels of a case, the space of what they hold, and texts without a label."""

    labels: dict[Annotated[str, AfterValidator(_check_label)], _Label]
    space: _Space | None = None
    text: _Phrases = ()


def _split_case(value: Any) -> Any:
    """A case of the file, whose keys "space" and "text" stand among its labels; or the text of one, alone."""
    if isinstance(value, str) or as_phrases(value) is not None:
        return {"labels": {}, "text": value}
    if not isinstance(value, dict):
        return value
    apart = {"space"} if isinstance(value.get("space"), str) else set()
    if "text" in value and not isinstance(value["text"], dict):
        apart.add("text")
    return {k: value[k] for k in apart} | {
        "labels": {k: v for k, v in value.items() if k not in apart}
    }


class _OwnFile(_Model):
    format: Literal["nnunet-prompt"]
    version: Literal[1]
    cases: dict[str, _OwnCase]
    space: _Space = "voxel"

    @model_validator(mode="before")
    @classmethod
    def _cases(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("cases"), dict):
            return value | {"cases": {k: _split_case(v) for k, v in value["cases"].items()}}
        return value


def _located(case: _OwnCase, space: _Space, where: str, folder: Path) -> Iterator[Located]:
    outer = case.space or space
    for key, label in case.labels.items():
        text, there = LabelText((key,), exact=True), f"{where}.{key}"
        inner = label.space or outer
        for point in label.points:
            one = point.space or inner
            yield Located(there, text, PointAt(point.position), one, point.positive)
        for i, box in enumerate(label.boxes):
            one = box.space or inner
            yield Located(there, text, _box(box, one, there, i), one, box.positive)
        for scribble in label.scribbles:
            one = scribble.space or inner
            yield Located(there, text, PathAt(scribble.path), one, scribble.positive)
        for mask, positive in label.masks(folder):
            yield Located(there, text, mask, positive=positive)
        for phrase in label.text:
            yield Located(there, text, TextAt(phrase))
    for phrase in case.text:
        yield Located(where, LabelText(()), TextAt(phrase))


def _box(box: _Box, space: Space, where: str, i: int) -> BoxAt | BodyAt:
    if space == "voxel":
        if not all(a < b for a, b in zip(box.lower, box.upper, strict=True)):
            raise PromptFileError(
                f"{where}.boxes[{i}]: every lower corner must be below its upper corner, found {box.lower} and"
                f" {box.upper}; expected for example {_SAMPLES['boxes']}"
            )
        return BoxAt(box.lower, box.upper)
    x, y, z = zip(box.lower, box.upper, strict=True)
    return BodyAt(tuple(itertools.product(x, y, z)))


def find_twice(content: Any) -> str | None:
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
    """The first error in one line, with a sample: `cases.case_001.500.points[0].position: ...`."""
    details = error.errors(include_url=False, include_context=False)
    steps = [step for step in details[0]["loc"] if step != "[key]"]
    if len(steps) > 2 and steps[0] == "cases" and steps[2] == "labels":
        del steps[2]  # ours, not the file's
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    message = details[0]["msg"].removeprefix("Value error, ").replace("tuple", "list")
    message = re.sub(r"a valid dictionary( or instance of \w+)?", "an object", message)
    found = details[0]["input"]
    said = "" if isinstance(found, (dict, BaseModel)) else f", found {shorten(found)}"
    sample = next((_SAMPLES[str(step)] for step in steps if str(step) in _SAMPLES), SAMPLE)
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    line = f"{path.lstrip('.')}: {message}{said}; expected for example {sample}"
    return " ".join(line.split()) + more
