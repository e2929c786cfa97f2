"""Whatever stands in a file of prompts: it is read, or refused in one line."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.io.nifti import NiftiVolume, read_nifti
from nnunet_prompt.prompt_files.prompt_file import load_prompts
from tests.test_prompts_page import EXAMPLES, TABLE

ODD = [
    *(
        None,
        True,
        0,
        -1,
        1e300,
        10**400,
        float("nan"),
        float("inf"),
        "",
        "x",
        "LV",
        "500",
        "\u0000",
    ),
    *([], {}, [[]], [None], [1, 2, 3], [1, 2], {"a": 1}, [[1, 2, 3]], "mm", "RAS", "ROI", "Curve"),
]
JSON = {name: text for name, text in EXAMPLES.items() if name.endswith(".json")}
CSV = {name: text for name, text in EXAMPLES.items() if name.endswith(".csv")}
SLOW = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def image(tmp_path: Path) -> NiftiVolume:
    path = tmp_path / "case_001.nii.gz"
    affine = np.array([[-2.0, 0, 0, 10], [0, -3, 0, 20], [0, 0, 5, -30], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(np.zeros((6, 8, 4), np.float32), affine), path)
    return read_nifti(path)


def try_to_read(path: Path, image: NiftiVolume) -> None:
    try:
        file = load_prompts(path).for_images({"case_001": image.path}, table=TABLE)
        found = file.prompts("case_001", image)
    except NNUNetPromptError as error:
        assert "\n" not in str(error) and len(str(error)) < 1200
        return
    for one in found.labels.values():
        if found.frame == "file":
            one.check_inside(image.shape)


def places(content: Any) -> list[list[Any]]:
    """The path of every value in a JSON document."""
    entries = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    return [[]] + [[key, *rest] for key, value in entries for rest in places(value)]


@pytest.mark.slow
@SLOW
@given(data=st.data(), name=st.sampled_from(sorted(JSON)))
def test_a_value_in_a_json_file_may_be_anything(
    image: NiftiVolume, data: st.DataObject, name: str
) -> None:
    content = [copy.deepcopy(json.loads(JSON[name]))]
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from([[0, *p] for p in places(content[0])]))
        parent = content
        for key in path:
            parent = parent[key]
        if isinstance(parent, dict) and data.draw(st.booleans()):
            del parent[last]
        else:
            parent[last] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
    path = image.path.parent / name
    path.write_text(json.dumps(content[0]))
    try_to_read(path, image)


@pytest.mark.slow
@SLOW
@given(data=st.data(), name=st.sampled_from(sorted(CSV)))
def test_a_cell_of_a_csv_may_be_anything(
    image: NiftiVolume, data: st.DataObject, name: str
) -> None:
    rows = [line.split(",") for line in CSV[name].splitlines()]
    for _ in range(data.draw(st.integers(1, 3))):
        row = data.draw(st.sampled_from(rows))
        cell = data.draw(
            st.sampled_from(["", "nan", "1e9", "-1", "x", '"', "axis-1", "LV", ",", "3"])
        )
        row[data.draw(st.integers(0, len(row) - 1))] = cell
    path = image.path.parent / name
    path.write_text("\n".join(map(",".join, rows)))
    try_to_read(path, image)


@pytest.mark.slow
@SLOW
@given(
    content=st.binary(max_size=80), ending=st.sampled_from([".json", ".mrk.json", ".csv", ".fcsv"])
)
def test_bytes(image: NiftiVolume, content: bytes, ending: str) -> None:
    path = image.path.parent / f"case_001{ending}"
    path.write_bytes(content)
    try_to_read(path, image)
