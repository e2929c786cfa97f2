"""`nnunet-prompt predict`: a folder of images to a folder of label maps."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from nnunet_prompt.challenge.fusion import predict_case, read_case
from nnunet_prompt.challenge.images import ImageCase, group_images, image_files
from nnunet_prompt.data.nifti import write_labels_like
from nnunet_prompt.errors import PromptError
from nnunet_prompt.inference.cases import Predictor, all_failures, each_case, make_folder
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.prompt_file import PromptFile, load_prompts


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
    named, channels = (said.cases if said is not None else ()), predictor.n_image_channels
    cases = group_images(files, keys=named, n_channels=channels, sequences=said is not None)
    make_folder(output)
    failed = predict_cases(
        predictor,
        cases,
        output=output,
        said=said,
        structures=structures,
        overwrite=options.overwrite,
    )
    if failed:
        raise all_failures(failed, len(cases))
    return len(cases)


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

    def target(case: ImageCase) -> Path:
        return output / f"{case.case}.nii.gz"

    def predict(case: ImageCase) -> None:
        def warn(line: str) -> None:
            tqdm.write(f"warning: case {case.case}: {line}", file=sys.stderr)

        volumes = read_case(case.pick(predictor.n_image_channels), warn=warn)
        first = next(iter(volumes.values()))
        if said is None:
            labels = predictor.predict_structures(list(volumes.values()), structures)
        else:
            prompts = said.prompts(case.case, first)
            labels = predict_case(predictor, volumes, prompts, warn=warn)
        write_labels_like(target(case), labels, first)

    wanted = [c for c in cases if overwrite or not target(c).exists()]
    return each_case(((c.case, c) for c in wanted), predict, verb="predict")
