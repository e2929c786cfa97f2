"""What a report is made from, beside its folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nnunet_prompt.evaluation.names import NamesLike
from nnunet_prompt.evaluation.pairs import Extra, Missing


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """The choices of a report of masks.

    images: a folder of the images, of any format that `predict` takes; without it slices have no background
    prompts: the prompts that the masks were made with, a file or a folder as for `predict -p`
    names: names of label values, as for `evaluate`
    groups: a CSV with a column `case`; every other column groups the cases, as for `evaluate`
    model: the folder of the model that made the masks; found by itself where masks are in such a folder
    missing, extra: of cases without a prediction, and predictions without a label map, as for `evaluate`
    num_processes: None for as many as there are processors, up to eight, where there are many cases
    command: the command that the page states
    """

    images: Path | None = None
    prompts: Path | None = None
    names: NamesLike = None
    groups: Path | None = None
    model: Path | None = None
    missing: Missing = "error"
    extra: Extra = "error"
    num_processes: int | None = None
    command: str = ""
