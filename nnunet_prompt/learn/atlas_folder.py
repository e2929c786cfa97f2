"""A folder of images, each with the labels of its nearest support case; see `learn.atlas`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnunet_prompt.common.arguments import as_path
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.common.log import progress
from nnunet_prompt.data.plans_reader import ImageReader
from nnunet_prompt.inference.inputs import input_files, mask_name
from nnunet_prompt.io.atomic import make_folder
from nnunet_prompt.io.guard import check_output_folder
from nnunet_prompt.io.image_cases import ImageCase, count_channels, group_channels
from nnunet_prompt.io.image_files import write_label_file
from nnunet_prompt.io.mask_file import is_finished
from nnunet_prompt.learn.atlas import AtlasCase, nearest
from nnunet_prompt.learn.support_files import read_labels, support_files

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AtlasRun:
    """The support case that each image was given the labels of, by case, and how many masks were kept."""

    sources: dict[str, str]
    kept: int


def atlas_folder(
    support_images: Path | str,
    support_labels: Path | str,
    images: Path | str,
    output: Path | str,
    *,
    seed: int = 0,
    resume: bool = False,
) -> AtlasRun:
    """Writes the mask of each image of a folder; `resume` keeps those that are finished.

    Cases are aligned by their first channel. A case that fails is logged and stops no other; `NNUNetPromptError` is
    raised for it at the end, and at once for what concerns all.
    """
    folders = support_images, support_labels, images
    one, two, three = (as_path("support_images, support_labels, images", f) for f in folders)
    output, reader = as_path("output", output), ImageReader()
    check_output_folder(output, [one, two, three])
    channels = count_channels(input_files(one, reader))
    cases = [
        AtlasCase(name, reader.read(files[0])[0], read_labels(label, reader))
        for name, files, label in support_files(one, two, reader, channels)
    ]
    values = {int(v) for case in cases for v in np.unique(case.labels.array)} - {0}
    todo = group_channels(input_files(three, reader), keys=(), n_channels=channels)
    make_folder(output)
    sources, kept, failed = {}, 0, []
    for case in progress(todo, "atlas"):
        target = output / mask_name(case.case, case.first, reader)
        if resume and is_finished(target, [case.first], values):
            kept += 1
            continue
        try:
            sources[case.case] = _write(cases, case, target, seed)
        except (NNUNetPromptError, OSError) as error:
            _log.error("%s: %s", case.case, error)
            failed.append(case.case)
    if failed:
        raise NNUNetPromptError(
            f"{output}: {len(failed)} case(s) have no mask: {', '.join(failed)} (reasons above)"
        )
    return AtlasRun(sources, kept)


def _write(cases: list[AtlasCase], case: ImageCase, target: Path, seed: int) -> str:
    image = ImageReader().read(case.first)[0]
    found = nearest(cases, image, seed=seed)
    write_label_file(target, found.labels, image)
    _log.debug("%s: as %s, mutual information %.3f", case.case, found.name, found.similarity)
    return found.name
