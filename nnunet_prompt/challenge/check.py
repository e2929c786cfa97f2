"""Checks a finished output folder before it is handed in: is it what `submit` writes for these inputs?

No model is needed. The cases, their prompts and how these are read come from the same functions as in `submit`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.common.log import progress
from nnunet_prompt.io.atomic import PARTIAL
from nnunet_prompt.io.image_cases import (
    ImageCase,
    count_channels,
    find_key,
    group_images,
    image_files,
)
from nnunet_prompt.io.mask_file import image_of, mask_problems
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.io.repair import read_mended
from nnunet_prompt.prompt_files.infer_convention import Reading, settle
from nnunet_prompt.prompt_files.prompts_json import PromptsJson, read_prompts_json
from nnunet_prompt.prompt_files.prompts_json_convention import ALL_OPEN, GivenConvention
from nnunet_prompt.prompt_files.prompts_json_text import text_slices
from nnunet_prompt.prompts.frames import AxisMap, pls_map
from nnunet_prompt.prompts.types import CasePrompts

SHOWN = 6  # slices that a line lists


@dataclass(frozen=True, slots=True)
class Checked:
    """How many masks there should be, one line per problem, and what of prompts.json had to be guessed."""

    expected: int
    problems: tuple[str, ...]
    guessed: tuple[str, ...] = ()


def check_output(
    input_folder: Path, output_folder: Path, *, given: GivenConvention = ALL_OPEN
) -> Checked:
    """Compares OUTPUT with INPUT/images and INPUT/prompts.json; what is wrong with a file never stops the others.

    Every case has its mask and nothing else lies there; each mask has the shape and the affine of its image, holds
    integers, and a label only in slices where it was prompted, so nothing in null slices. How many channels a case has
    is inferred from the files alone: 1 but for names such as Case7_0000 beside Case7_0001. Raises `NNUNetPromptError`
    if a folder or prompts.json as a whole cannot be used.
    """
    if not output_folder.is_dir():
        raise NNUNetPromptError(f"{output_folder}: no such folder; it must hold the masks to check")
    images = image_files(input_folder / "images")
    prompts = read_prompts_json(input_folder / "prompts.json")
    cases = group_images(images, keys=prompts.cases, n_channels=count_channels(images))
    keys = {case.case: find_key(prompts.cases, case.case) for case in cases}
    named = [(key, case.first) for case in cases if (key := keys[case.case]) is not None]
    reading = settle(prompts, named, given)
    problems = []
    for case in progress(cases, "check"):
        target = output_folder / _name(case)
        expected = Expected(case, keys[case.case], prompts, reading)
        found = expected.problems(target) if target.exists() else ["is missing"]
        problems += [f"{target.name}: {problem}" for problem in found]
    for key in prompts.cases:
        if key not in keys.values():
            problems.append(f"{prompts.source}: names the case {key!r}, which has no image")
    problems += _strangers(output_folder, cases)
    lines = tuple(" ".join(problem.split()) for problem in problems)
    return Checked(len(cases), lines, reading.guessed)


def _name(case: ImageCase) -> str:
    return f"{case.case}_pred.nii.gz"


def _strangers(folder: Path, cases: Sequence[ImageCase]) -> Iterator[str]:
    """Reports files that an output folder should not hold."""
    masks = {_name(case) for case in cases}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(PARTIAL):
            yield f"{path.name}: left over from a run that was stopped; run submit again, or remove it"
        elif path.name not in masks:
            yield f"{path.name}: is the mask of no case, and an evaluator may stumble over it; remove it"


@dataclass(frozen=True, slots=True)
class Expected:
    """The mask that one case must have; `key` is that of its prompts, None if it has none."""

    case: ImageCase
    key: str | None
    prompts: PromptsJson
    reading: Reading

    def is_met(self, target: Path) -> bool:
        """Whether the mask is there and nothing is wrong with it; what `submit` keeps when it is started again."""
        try:
            there = target.is_file() and target.stat().st_size > 0
        except OSError:  # such as a name that is too long
            return False
        return there and next(self.problems(target), None) is None

    def problems(self, target: Path) -> Iterator[str]:
        """Lists the problems of a mask, one line each."""
        try:
            mask = read_mended(target)
            image = image_of(mask, self.case.ordered)
        except (ImageError, OSError) as error:
            yield f"cannot be checked: {error}"
            return
        yield from mask_problems(mask, image)
        if mask.shape == image.shape:
            yield from self._label_problems(mask, pls_map(image.affine, image.shape))

    def _label_problems(self, mask: NiftiVolume, to_pls: AxisMap) -> Iterator[str]:
        said = self._said(to_pls)
        planes = np.moveaxis(to_pls.apply(mask.array), said.slice_axis, 0)
        slices = dict(said.slices or {})
        by_words, free = self._words(planes.shape[0])
        for k, labels in by_words.items():
            slices[k] = slices.get(k, frozenset()) | labels
        named = frozenset[int]().union(*slices.values())
        nobody: frozenset[int] = frozenset()
        null: list[int] = []
        wrong: dict[float, list[int]] = {}
        for k, plane in enumerate(planes):
            if k in free:
                continue
            allowed = slices.get(k, nobody)
            strays = [v for v in np.unique(plane).tolist() if v != 0 and v not in allowed]
            number = k + self.reading.convention.base
            if strays and not allowed:
                null.append(number)
            for value in strays:
                if allowed or value not in named:
                    wrong.setdefault(value, []).append(number)
        for value, numbers in sorted(wrong.items()):
            if value in named:
                yield f"holds label {value:g} in {_listed(numbers)}, where it is not prompted"
            else:
                yield f"holds the value {value:g}, expected 0 or a label that its prompts name"
        if null:
            yield f"is not 0 in {_listed(null)}, for which there are no prompts"

    def _words(self, depth: int) -> tuple[dict[int, frozenset[int]], frozenset[int]]:
        """What words allow: labels by slice, and slices where they may mean any label, which a model would know."""
        if self.key is None:
            return {}, frozenset()
        return text_slices(self.prompts.cases[self.key], depth, self.reading.convention)

    def _said(self, to_pls: AxisMap) -> CasePrompts:
        if self.key is None:
            return CasePrompts({}, "PLS", {})
        axis = self.reading.slice_axes.get(self.key, 2)
        raw = self.prompts.cases[self.key]
        return raw.place(to_pls.target_shape, self.reading.convention, axis)[0]


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:SHOWN]))
    more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
    return f"slice{'s' if len(numbers) > 1 else ''} {shown}{more}"
