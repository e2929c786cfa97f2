"""Files as 3D Slicer writes them; the image is 6 x 8 x 4 voxels of 2 x 3 x 5 mm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import PromptFileError
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.io.nifti import NiftiVolume, read_nifti
from nnunet_prompt.prompt_files.prompt_file import load_prompts
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, Scribble
from tests.helpers.each import each

SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
TABLE = StructureTable((Structure("LV", 1, (1,), 500), Structure("scar", 2, (2,), 2221)))
# voxel (i, j, k) lies at RAS (10 - 2i, 20 - 3j, 5k - 30), so at LPS (2i - 10, 3j - 20, 5k - 30)
AFFINE = np.array([[-2.0, 0, 0, 10], [0, -3, 0, 20], [0, 0, 5, -30], [0, 0, 0, 1]])
UNTURNED = [-1.0, -0.0, -0.0, -0.0, -1.0, -0.0, 0.0, 0.0, 1.0]


def lps(i: float, j: float, k: float) -> list[float]:
    return [2 * i - 10, 3 * j - 20, 5 * k - 30]


def point(position: list[float], label: str = "F-1", **more: Any) -> dict[str, Any]:
    fixed = {"id": "1", "associatedNodeID": "", "orientation": UNTURNED, "selected": True}
    said = {"label": label, "description": "", "positionStatus": "defined"}
    return {**fixed, **said, "position": position, "locked": False, "visibility": True, **more}


def markup(kind: str, *points: dict[str, Any], **more: Any) -> dict[str, Any]:
    fixed = {"coordinateSystem": "LPS", "coordinateUnits": "mm", "labelFormat": "%N-%d"}
    return {"type": kind, **fixed, "controlPoints": list(points), "measurements": [], **more}


def roi(**more: Any) -> dict[str, Any]:
    at = lps(2.5, 4, 1)
    box = {"roiType": "Box", "center": at, "orientation": UNTURNED, "size": [4, 9, 5]}
    return markup("ROI", point(at, "LV-1"), insideOut=False, **box, **more)


@pytest.fixture
def image(tmp_path: Path) -> NiftiVolume:
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((6, 8, 4), np.float32), AFFINE), path)
    return read_nifti(path)


def read(
    image: NiftiVolume, *markups: Any, name: str = "a.mrk.json", notes: list[str] | None = None
) -> CasePrompts:
    path = image.path.parent / "p" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"@schema": SCHEMA, "markups": list(markups)}))
    notes = [] if notes is None else notes
    file = load_prompts(path).for_images({"a": image.path}, table=TABLE, warn=notes.append)
    return file.prompts("a", image, warn=notes.append)


def test_points_in_lps_and_ras(image: NiftiVolume) -> None:
    at = [point(lps(1, 2, 3), "LV-1"), point(lps(4, 5, 0), "LV-2")]
    ras = [
        point([-x, -y, z], label) for (x, y, z), label in ((p["position"], p["label"]) for p in at)
    ]
    expected = (Point((1, 2, 3)), Point((4, 5, 0)))
    for found in (
        read(image, markup("Fiducial", *at)),
        read(image, markup("Fiducial", *ras, coordinateSystem="RAS")),
        read(image, {"type": "Fiducial", "controlPoints": at}),  # the schema's default is LPS, mm
    ):
        assert (found.frame, list(found.labels)) == ("file", [500])
        assert found.labels[500].points == expected


@each(
    ("one", "markups", "name", "label", "positive"),
    [
        ({"description": "scar"}, {}, "a.mrk.json", 2221, True),
        ({"label": "scar-3"}, {}, "a.mrk.json", 2221, True),
        ({"label": "LV neg"}, {}, "a.mrk.json", 500, False),
        ({"description": "negative"}, {"name": "LV"}, "a.mrk.json", 500, False),
        ({}, {"name": "LV-neg"}, "a.mrk.json", 500, False),
        ({}, {"label": {"value": 7}}, "a.mrk.json", 7, True),
        ({}, {}, "a_scar.mrk.json", 2221, True),
        ({}, {}, "a_600-neg.mrk.json", 600, False),
        ({}, {"name": "LV"}, "a_scar.mrk.json", 500, True),
        # "1" is the number of the point and no label
        ({"label": "1"}, {"name": "LV", "labelFormat": "%d"}, "a.mrk.json", 500, True),
    ],
)
def test_where_the_label_may_stand(
    image: NiftiVolume, one: Any, markups: Any, name: str, label: int, positive: bool
) -> None:
    found = read(image, markup("Fiducial", point(lps(1, 2, 3), **one), **markups), name=name)
    assert list(found.labels) == [label]
    assert found.labels[label].points == (Point((1, 2, 3), positive),)


def test_an_roi_is_a_box_with_its_edges(image: NiftiVolume) -> None:
    expected = (Box((2, 3, 1), (4, 6, 2)),)  # 4 x 9 x 5 mm around voxel (2.5, 4, 1)
    assert read(image, roi()).labels[500].boxes == expected
    older = {k: v for k, v in roi().items() if k != "center"}
    assert read(image, older).labels[500].boxes == expected


def test_an_roi_that_is_rotated_gets_the_block_around_it(image: NiftiVolume) -> None:
    notes: list[str] = []
    c, s = 0.8, 0.6
    rotated = roi() | {"orientation": [c, -s, 0, s, c, 0, 0, 0, 1], "size": [4, 6, 5]}
    (box,) = read(image, rotated, notes=notes).labels[500].boxes
    half = np.array([(4 * c + 6 * s) / 2 / 2, (4 * s + 6 * c) / 2 / 3, 0.5])
    assert np.allclose(box.lower, np.array([3, 4.5, 1.5]) - half, atol=1e-3)
    assert np.allclose(box.upper, np.array([3, 4.5, 1.5]) + half, atol=1e-3)
    assert len(notes) == 1 and "rotated against the axes of the image" in notes[0]


def test_an_roi_is_cut_off_at_the_border_and_refused_beyond(image: NiftiVolume) -> None:
    notes: list[str] = []
    (box,) = read(image, roi() | {"size": [4, 90, 5]}, notes=notes).labels[500].boxes
    assert (box.lower, box.upper) == ((2, 0, 1), (4, 8, 2))
    assert len(notes) == 1 and "cut off" in notes[0]
    with pytest.raises(PromptFileError, match="the box lies outside the image"):
        read(image, roi() | {"center": [400, 0, 0]})


def test_a_flat_roi_is_one_slice(image: NiftiVolume) -> None:
    (box,) = read(image, roi() | {"size": [4, 9, 0]}).labels[500].boxes
    assert (box.lower, box.upper) == ((2, 3, 1), (4, 6, 2))


def test_curves_are_scribbles(image: NiftiVolume) -> None:
    at = [(1, 2, 3), (4, 2, 3), (4, 6, 3)]
    points = [point(lps(*p), f"LV-{i}") for i, p in enumerate(at)]
    points.insert(1, point([900, 0, 0], "LV-9", positionStatus="preview"))
    for kind in ("Curve", "Line", "OpenCurve"):
        assert read(image, markup(kind, *points)).labels[500].scribbles == (Scribble(tuple(at)),)
    closed = read(image, markup("ClosedCurve", *points, name="LV-neg")).labels[500]
    assert closed.scribbles == (Scribble((*at, at[0])),)  # its points say LV


def test_several_markups_and_files(image: NiftiVolume) -> None:
    both = read(image, markup("Fiducial", point(lps(1, 2, 3), "scar-1")), roi())
    assert sorted(both.labels) == [500, 2221]


@each(
    ("content", "message"),
    [
        (markup("Plane"), r"markups\[0\]\.type: expected Fiducial, ROI, .* found 'Plane'"),
        (markup("Fiducial", coordinateSystem="IJK"), "coordinateSystem: expected LPS or RAS"),
        (markup("Fiducial", coordinateUnits="inch"), "coordinateUnits: expected mm"),
        (markup("Fiducial", point([1, 2])), r"controlPoints\[0\]\.position: expected three finite"),
        (markup("Fiducial", point([1, 2, float("nan")])), "expected three finite numbers"),
        (roi() | {"insideOut": True}, "insideOut"),
        (roi() | {"orientation": [0] * 9}, "orientation: expected a 3 x 3 rotation"),
        ({"type": "Fiducial", "controlPoints": {}}, "controlPoints: expected a list"),
        (5, "markups must be a list of objects"),
        (markup("Fiducial"), "holds no prompt"),
        (markup("Curve", point([1, 2, 3], positionStatus="undefined")), "holds no prompt"),
    ],
)
def test_what_is_refused_is_refused_with_a_sample(
    image: NiftiVolume, content: Any, message: str
) -> None:
    with pytest.raises(PromptFileError, match=message) as error:
        read(image, content)
    line = str(error.value)
    assert line.startswith("a.mrk.json: ") and "\n" not in line
    assert '"type": "Fiducial", "name": "LV", "coordinateSystem": "LPS"' in line


def test_no_label_and_no_place(image: NiftiVolume) -> None:
    with pytest.raises(PromptFileError, match=r"no label is named; .*LV \(500\), scar \(2221\)"):
        read(image, markup("Fiducial", point(lps(1, 2, 3))))
    with pytest.raises(PromptFileError, match=r"mm, LPS, \(voxel \[9.0, 2.0, 3.0\]\) lies outside"):
        read(image, markup("Fiducial", point(lps(9, 2, 3), "LV-1")))


def test_the_older_point_lists(image: NiftiVolume) -> None:
    x, y, z = lps(1, 2, 3)
    columns = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"
    head = (
        f"# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n# columns = {columns}\n"
    )
    path = image.path.with_name("a.fcsv")
    path.write_text(
        f"{head}1,{x},{y},{z},0,0,0,1,1,1,0,LV-1,,\n2,{x},{y},{z},0,0,0,1,1,1,0,F-2,neg,\n"
    )
    file = load_prompts(path.rename(path.with_name("a_LV.fcsv")))
    found = file.for_images({"a": image.path}, table=TABLE).prompts("a", image)
    assert found.labels[500].points == (Point((1, 2, 3)), Point((1, 2, 3), False))
    path.write_text("1,2,3\n")
    with pytest.raises(PromptFileError, match="CoordinateSystem"):
        load_prompts(path)
