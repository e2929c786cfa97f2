"""`nnunet-prompt predict`: a folder of images to a folder of label maps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from nnunet_prompt.challenge.images import ImageCase, group_images, image_files
from nnunet_prompt.data.nifti import read_nifti, write_labels_like
from nnunet_prompt.errors import PromptError
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.prompt_file import PromptFile, load_prompts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nnunet_prompt.data.nifti import NiftiVolume
    from nnunet_prompt.prompts.model import CasePrompts


class Predictor(Protocol):
    """What `predict_cases` needs of a model; `PromptPredictor` is one."""

    @property
    def n_image_channels(self) -> int: ...

    def predict_prompts(
        self, images: Sequence[NiftiVolume], prompts: CasePrompts
    ) -> npt.NDArray[np.int32]: ...

    def predict_structures(
        self, images: Sequence[NiftiVolume], wanted: Sequence[str] = ()
    ) -> npt.NDArray[np.int32]: ...


def predict_folder(
    images: Path,
    output: Path,
    *,
    model: Path,
    prompts: Path | None = None,
    structures: tuple[str, ...] = (),
    options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
) -> int:
    """Writes OUTPUT/CASE.nii.gz for each case of a folder, on its own grid and with its own header.

    With a prompts file the object head answers each label, and a case that the file does not name is an error of that
    case. Without one the structure heads answer, all or those in `structures`. Returns the number of masks written.
    Raises `PromptError`, after the last case, if a case failed; the others keep their masks.
    """
    from nnunet_prompt.inference.predictor import PromptPredictor

    if prompts is not None and structures:
        raise PromptError("prompts and structures: give either a prompts file or names, not both")
    files = image_files(images)
    said = load_prompts(prompts) if prompts is not None else None
    predictor = PromptPredictor.from_folder(model, options)
    for name in structures:
        predictor.table.find(name)
    cases = group_images(
        files,
        keys=said.cases if said is not None else (),
        n_channels=predictor.n_image_channels,
        sequences=said is not None,
    )
    _make_folder(output)
    failed = predict_cases(
        predictor,
        cases,
        output=output,
        said=said,
        structures=structures,
        overwrite=options.overwrite,
    )
    if failed:
        raise _all_failures(failed, len(cases))
    return len(cases)


def _all_failures(failed: dict[str, str], total: int) -> PromptError:
    first, reason = next(iter(failed.items()))
    return PromptError(
        f"{len(failed)} of {total} cases have no mask; the first is {first}: {reason}"
    )


def _make_folder(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PromptError(f"{output}: cannot be made: {error.strerror}") from error


def predict_cases(
    predictor: Predictor,
    cases: Sequence[ImageCase],
    *,
    output: Path,
    said: PromptFile | None = None,
    structures: tuple[str, ...] = (),
    overwrite: bool = True,
) -> dict[str, str]:
    """Predicts and writes case by case; returns why a case has no mask, by case."""
    failed: dict[str, str] = {}
    for case in tqdm(cases, desc="predict", unit="case", disable=None):
        target = output / f"{case.case}.nii.gz"
        if target.exists() and not overwrite:
            continue
        try:
            paths, note = case.pick(predictor.n_image_channels)
            if note:
                print(f"warning: case {case.case}: {note}", file=sys.stderr)
            volumes = [read_nifti(path) for path in paths]
            if said is None:
                labels = predictor.predict_structures(volumes, structures)
            else:
                labels = predictor.predict_prompts(volumes, said.prompts(case.case, volumes[0]))
            write_labels_like(target, labels, volumes[0])
        except PromptError as error:
            failed[case.case] = str(error)
        except Exception as error:  # out of memory, say: it must not cost the other cases
            first_line = next(iter(str(error).strip().splitlines()), "no reason given")
            failed[case.case] = f"{type(error).__name__}: {first_line}"
        if case.case in failed:
            print(f"error: case {case.case}: {failed[case.case]}", file=sys.stderr)
    return failed
