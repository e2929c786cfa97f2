"""Makes a prompts.json from label maps, as the challenge made its own: boxes and points per slice and label."""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.arguments import as_path, one_of, shown, true_or_false, whole_number
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.common.log import progress
from nnunet_prompt.io.guard import check_output_file
from nnunet_prompt.io.image_cases import image_files, without_ending
from nnunet_prompt.io.image_files import image_ending, read_label_file
from nnunet_prompt.prompt_files.prompts_json import write_prompts_json
from nnunet_prompt.prompt_files.prompts_json_convention import (
    MAX_POINTS,
    JsonConvention,
    plane_axes,
)
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.options import SimulationOptions
from nnunet_prompt.prompts.simulate import simulate
from nnunet_prompt.prompts.types import CasePrompts

_log = logging.getLogger(__name__)

LARGEST_JITTER = 1000


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """How prompts are drawn, and the `JsonConvention` they are written in.

    jitter: box corners and points move by up to so many pixels, either way alike.
    """

    max_points: int = MAX_POINTS
    jitter: int = 0
    seed: int = 0
    order: Literal["xy", "yx"] = "xy"
    base: Literal[0, 1] = 0
    inclusive: bool = False

    def __post_init__(self) -> None:
        for name, example in (("max_points", 5), ("jitter", 2), ("seed", 1), ("base", 0)):
            value = getattr(self, name)  # numbers that are too small are reported below
            number = whole_number(name, value, lowest=-(2**63), example=example)
            object.__setattr__(self, name, number)
        one_of("order", self.order, ("xy", "yx"))
        object.__setattr__(self, "inclusive", true_or_false("inclusive", self.inclusive))
        if not 1 <= self.max_points <= MAX_POINTS:
            raise NNUNetPromptError(
                f"--max-points must be 1 to {MAX_POINTS}, found {self.max_points}"
            )
        if not 0 <= self.jitter <= LARGEST_JITTER:
            raise NNUNetPromptError(f"--jitter must be 0 to {LARGEST_JITTER}, found {self.jitter}")
        if self.seed < 0:
            raise NNUNetPromptError(f"--seed must not be negative, found {self.seed}")
        _ = self.convention

    @property
    def convention(self) -> JsonConvention:
        """How the file is written."""
        return JsonConvention(self.order, self.base, self.inclusive)


def simulate_prompts_json(
    labels: Path | str, output: Path | str, *, options: SimulateOptions = SimulateOptions()
) -> int:
    """Writes the prompts of the label maps in a folder, or of one file, to `output` and returns their number.

    A case id is a file name without ending. What is drawn for a case depends on the seed, its id and its labels only.
    Raises `NNUNetPromptError` if there is nothing to read; if some files cannot be read, the others are written first.
    """
    labels, output = as_path("labels", labels), as_path("output", output)
    if not isinstance(options, SimulateOptions):
        raise NNUNetPromptError(
            f"options: expected SimulateOptions, such as SimulateOptions(seed=1), found {shown(options)}"
        )
    check_output_file(output, [labels])
    files = label_files(labels)
    cases: dict[str, CasePrompts] = {}
    failures = []
    for path in progress(files, "simulate"):
        case = without_ending(path.name)
        try:
            if case in cases:
                raise NNUNetPromptError(f"{path}: case {case!r} is there with two file endings")
            volume = read_label_file(path)
            for note in volume.notes:
                _log.warning("%s: %s", path, note)
            in_pls = pls_map(volume.affine, volume.shape).apply(volume.array)
            if in_pls.min(initial=0) < 0:
                raise NNUNetPromptError(f"{path}: labels must be 0 or above, found {in_pls.min()}")
        except NNUNetPromptError as error:
            failures.append(str(error))
            continue
        rng = np.random.default_rng([options.seed, zlib.crc32(case.encode("utf-8", "replace"))])
        cases[case] = slice_prompts(
            in_pls, rng, max_points=options.max_points, jitter=options.jitter
        )
    if cases:
        write_prompts_json(output, cases, convention=options.convention)
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise NNUNetPromptError(f"{failures[0]}{more}; {len(cases)} case(s) written to {output}")
    return len(cases)


def slice_prompts(
    labels: npt.NDArray[Any],
    rng: np.random.Generator,
    *,
    max_points: int = MAX_POINTS,
    jitter: int = 0,
    slice_axis: int = 2,
) -> CasePrompts:
    """The prompts of one label map (PLS, integers from 0): every slice along `slice_axis` is named, empty ones too.

    Per slice and label above 0: the tight box, and 1 to `max_points` different pixels of the label.
    """
    _check_drawing(labels, rng)
    slice_axis = whole_number("slice_axis", slice_axis, lowest=0, highest=2, example=2)
    checked = SimulateOptions(max_points, jitter)
    max_points, jitter = checked.max_points, checked.jitter
    options = SimulationOptions(max_points=max_points, jitter=jitter, slice_axis=slice_axis)
    values = [int(v) for v in np.unique(labels) if v]
    masks = {value: labels == value for value in values}
    sets = {v: simulate(mask, rng, kind="slices", options=options) for v, mask in masks.items()}
    shown = {value: mask.any(axis=plane_axes(slice_axis)) for value, mask in masks.items()}
    slices = {
        k: frozenset(value for value in values if shown[value][k])
        for k in range(labels.shape[slice_axis])
    }
    return CasePrompts(sets, "PLS", slices, slice_axis)


def _check_drawing(labels: object, rng: object) -> None:
    if not isinstance(labels, np.ndarray) or labels.ndim != 3 or labels.dtype.kind not in "bui":
        raise NNUNetPromptError(
            f"labels: expected a label map, an array of integers with three axes, found {shown(labels)}"
        )
    if not isinstance(rng, np.random.Generator):
        raise NNUNetPromptError(
            f"rng: expected a generator, such as np.random.default_rng(0), found {shown(rng)}"
        )


def label_files(labels: Path) -> list[Path]:
    """The label maps of a folder, of any format, sorted, or the one file.

    Raises `NNUNetPromptError` where there is none.
    """
    if labels.is_dir():
        files = sorted(p for p in labels.iterdir() if image_ending(p.name) and p.is_file())
        return files or image_files(labels)  # which raises
    if not labels.exists():
        raise NNUNetPromptError(f"{labels}: no such file or folder; it must hold label maps")
    if not image_ending(labels.name):
        raise NNUNetPromptError(f"{labels}: expected a .nii.gz or .nii file, or a folder of them")
    return [labels]
