"""The end of the demo: a table of the test cases with and without prompts, and a picture of some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_prompt.cli.demo.picture import Row, draw_picture, load_row
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.io.image_cases import image_files, without_ending
from nnunet_prompt.io.json_file import read_object
from nnunet_prompt.phantom.anatomy import OFFICIAL
from nnunet_prompt.prompt_files.prompts_json import read_prompts_json

if TYPE_CHECKING:
    from rich.table import Table

MEASURES = {"Dice": "dice", "HD95 in mm": "hd95_mm"}
PROMPTS_GIVEN = "Prompts as in TFM4MedIA: in every slice a box and one to five points per structure"
FLATTEST = 2.0  # a slice whose voxels are longer than this is hard to look at


def results_table(metrics: Mapping[str, Path]) -> Table:
    """The means of each structure, one group of columns per measure, one column per file of `evaluate`.

    A structure that a mask lacks altogether has Dice 0 and no distance: the distances are means over the other cases,
    and the cell states in how many it was not found.
    """
    from rich.table import Table

    cases = {arm: _cases(path) for arm, path in metrics.items()}
    table = Table(title="Mean of the test cases", title_justify="left")
    table.add_column("structure")
    for measure in MEASURES:
        for arm in cases:
            table.add_column(f"{measure}\n{arm}", justify="right")
    for name, value in OFFICIAL.items():
        scores = [
            [case[str(value)] for case in found.values() if str(value) in case]
            for found in cases.values()
        ]
        cells = [_cell(one, key) for key in MEASURES.values() for one in scores]
        table.add_row(name, *cells)
    return table


def draw_demo_picture(test: Path, masks: Path, plain: Path, path: Path, *, count: int) -> Path:
    """Draws the first `count` test cases to `path`, and returns it.

    `test` holds images, labels and prompts.json; `masks` were made with prompts, `plain` without. Prompts come in
    slices of the PLS frame, which cut an oblique stack crosswise now and then; cases that are cut along the stack go
    first, because one can see more in them.
    """
    prompts = read_prompts_json(test / "prompts.json")
    rows = [
        load_row(
            image,
            masks / f"{without_ending(image.name)}_pred.nii.gz",
            plain / f"{without_ending(image.name)}.nii.gz",
            test / "labels" / image.name,
            prompts=prompts.cases[without_ending(image.name)],
        )
        for image in image_files(test / "images")
    ]
    names = {value: name for name, value in OFFICIAL.items()}
    draw_picture(sorted(rows, key=_is_flat)[:count], names, path, caption=PROMPTS_GIVEN)
    return path


def _is_flat(row: Row) -> bool:
    return not 1 / FLATTEST <= row.aspect <= FLATTEST


def _cases(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    cases: dict[str, dict[str, dict[str, Any]]] = read_object(path, NNUNetPromptError)["cases"]
    return cases


def _cell(scores: Sequence[Mapping[str, Any]], key: str) -> str:
    missing = sum(score["volume_error"] == -1 for score in scores)
    counted = [
        score[key]
        for score in scores
        if score[key] is not None and (key == "dice" or score["volume_error"] != -1)
    ]
    if not counted:
        return "not found" if missing else "–"
    mean = sum(counted) / len(counted)
    if key == "dice":
        return f"{mean:.3f}"
    return f"{mean:.1f}" + (f" ({missing} not found)" if missing else "")
