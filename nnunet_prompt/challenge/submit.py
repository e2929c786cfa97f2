"""The challenge run: INPUT/images and INPUT/prompts.json to one OUTPUT/<case>_pred.nii.gz per case.

A case never stops the others. Where its image, its prompts or its prediction fail, the mask comes from what is left:
the prompts alone (filled boxes), or zeros. stderr tells which case, at which stage and why, in one line each.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from nnunet_prompt.challenge.convention import DEFAULT, JsonConvention
from nnunet_prompt.challenge.fallback import keep_allowed, mask_from_prompts, read_grid
from nnunet_prompt.challenge.images import ImageCase, find_key, group_images, image_files
from nnunet_prompt.challenge.prompts_json import PromptsJson, read_prompts_json
from nnunet_prompt.data.nifti import NiftiVolume, read_nifti, write_labels_like
from nnunet_prompt.errors import ImageError, PromptError
from nnunet_prompt.inference.cases import Predictor, make_folder
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.model import CasePrompts

if TYPE_CHECKING:
    from nnunet_prompt.inference.options import PredictOptions

Stage = Literal["image", "prompts", "prediction", "output"]
LONGEST_REASON = 400


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong with one case. `has_mask` is False if an image of the case is there but no mask."""

    case: str
    stage: Stage
    reason: str
    has_mask: bool = True

    def __str__(self) -> str:
        return f"case {self.case!r}, {self.stage}: {self.reason}"


def submit(
    input_folder: Path,
    output_folder: Path,
    *,
    model: Path,
    options: PredictOptions,
    strict: bool = False,
    convention: JsonConvention = DEFAULT,
) -> int:
    """Runs the challenge folder and returns how many cases are degraded. The model is loaded once.

    Raises `PromptError` at the end if an image has no mask, or, if `strict`, if any case is degraded; at the start if
    the folder, prompts.json as a whole or the model cannot be used.
    """
    images = image_files(input_folder / "images")
    prompts = read_prompts_json(input_folder / "prompts.json")
    from nnunet_prompt.inference.predictor import PromptPredictor

    predictor = PromptPredictor.from_folder(model, options)
    troubles = run_cases(
        predictor,
        prompts,
        images=images,
        output_folder=output_folder,
        convention=convention,
        overwrite=options.overwrite,
    )
    return _conclude(troubles, output_folder, strict=strict)


def run_cases(
    predictor: Predictor,
    prompts: PromptsJson,
    *,
    images: Iterable[Path],
    output_folder: Path,
    convention: JsonConvention = DEFAULT,
    overwrite: bool = False,
) -> list[Trouble]:
    """Writes the mask of every case and returns what went wrong, which it also tells on stderr.

    Masks that are there already are kept unless `overwrite`. Keys of `prompts` without an image are troubles too.
    """
    cases = group_images(images, keys=prompts.cases, n_channels=predictor.n_image_channels)
    make_folder(output_folder)
    troubles: list[Trouble] = []
    used: set[str] = set()
    for case in tqdm(cases, "submit", unit="case", file=sys.stderr):
        key = find_key(prompts.cases, case.case)
        used |= {key} if key is not None else set()
        target = output_folder / f"{case.case}_pred.nii.gz"
        if target.exists() and not overwrite:
            continue
        run = _CaseRun(predictor, case, prompts, key, convention)
        run.write(target)
        for trouble in run.troubles:
            _warn(str(trouble))
        troubles += run.troubles
    for key in prompts.cases:
        if key not in used:
            lost = Trouble(key, "prompts", f"{prompts.source} names it, but it has no image")
            _warn(str(lost))
            troubles.append(lost)
    return troubles


class _CaseRun:
    """One case on its way from files to a mask; its troubles gather in `troubles`."""

    def __init__(
        self,
        predictor: Predictor,
        case: ImageCase,
        prompts: PromptsJson,
        key: str | None,
        convention: JsonConvention,
    ) -> None:
        self.predictor = predictor
        self.case = case
        self.json = prompts
        self.key = key
        self.convention = convention
        self.troubles: list[Trouble] = []

    def write(self, target: Path) -> None:
        """Writes the mask, or leaves a trouble without mask."""
        try:
            volumes = self._read()
            reference = volumes[0] if volumes else read_grid(self.case.first)
            to_pls = pls_map(reference.affine, reference.shape)
        except Exception as error:
            self._trouble("image", error, has_mask=False)
            return
        prompts = self._prompts(to_pls.target_shape)
        labels = self._predict(volumes, prompts)
        try:
            if labels is None:
                in_pls = mask_from_prompts(prompts, to_pls.target_shape)
            else:
                in_pls = to_pls.apply(labels)
            allowed = to_pls.inverse().apply(keep_allowed(in_pls, prompts))
            write_labels_like(target, allowed, reference)
        except Exception as error:
            self._trouble("output", error, has_mask=False)

    def _read(self) -> list[NiftiVolume]:
        """The images for the model, or none if they cannot be read or do not fit it."""
        try:
            paths, note = self.case.pick(self.predictor.n_image_channels)
            volumes = [read_nifti(path) for path in paths]
            if any(v.shape != volumes[0].shape for v in volumes):
                raise ImageError(f"its images have the shapes {[v.shape for v in volumes]}")
        except Exception as error:
            self._trouble("image", error)
            return []
        if note:
            _warn(f"case {self.case.case!r}: {note}")
        for volume in volumes:
            if volume.replaced:
                _warn(f"{volume.path}: {volume.replaced} voxels are not finite and taken as 0")
        return volumes

    def _prompts(self, pls_shape: tuple[int, int, int]) -> CasePrompts:
        if self.key is None:
            self._trouble("prompts", f"{self.json.source} does not name it; its mask is empty")
            return CasePrompts({}, "PLS", {})
        prompts, problems = self.json.cases[self.key].place(pls_shape, self.convention)
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            self._trouble("prompts", f"{problems[0]}{more}; mended or left out")
        return prompts

    def _predict(
        self, volumes: Sequence[NiftiVolume], prompts: CasePrompts
    ) -> npt.NDArray[Any] | None:
        """The predicted label map in the file frame, or None where there can be none."""
        if not volumes or not prompts.labels:
            return None
        try:
            labels = np.asarray(self.predictor.predict_prompts(volumes, prompts))
            if labels.shape != volumes[0].shape:
                raise ImageError(f"the prediction has shape {labels.shape}, not {volumes[0].shape}")
        except Exception as error:
            self._trouble("prediction", error)
            return None
        return labels

    def _trouble(self, stage: Stage, reason: Exception | str, *, has_mask: bool = True) -> None:
        text = str(reason)
        if isinstance(reason, Exception) and not isinstance(reason, PromptError):
            text = f"{type(reason).__name__}: {text}"
        if isinstance(reason, Exception):
            text += "; its mask is from the prompts alone" if has_mask else "; it has no mask"
        line = textwrap.shorten(text, LONGEST_REASON, placeholder=" ...")
        self.troubles.append(Trouble(self.case.case, stage, line, has_mask))


def _conclude(troubles: Sequence[Trouble], output_folder: Path, *, strict: bool) -> int:
    degraded = {t.case for t in troubles}
    lost = sorted({t.case for t in troubles if not t.has_mask})
    if lost:
        raise PromptError(
            f"{output_folder}: {len(lost)} case(s) have no mask: {', '.join(lost)} (reasons above)"
        )
    if strict and degraded:
        raise PromptError(
            f"{output_folder}: --strict, and {len(degraded)} case(s) are degraded:"
            f" {', '.join(sorted(degraded))} (reasons above)"
        )
    return len(degraded)


def _warn(line: str) -> None:
    tqdm.write(f"warning: {line}", file=sys.stderr)
