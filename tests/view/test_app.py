"""Requests and answers of the live page, without a browser."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from starlette.testclient import TestClient

from nnunet_prompt.prompt_files.prompt_file import load_prompts
from nnunet_prompt.view.desk import Desk
from nnunet_prompt.view.options import ViewOptions
from nnunet_prompt.view.serve import build
from tests.helpers.each import each
from tests.helpers.predictors import Answers, predictor
from tests.helpers.schemas import check_form
from tests.view.desks import SHAPE, box, box_mask, desk, split, write_case

pytestmark = pytest.mark.slow  # a whole product

OURS = {"X-Nnunet-Prompt": "1"}


def client(of: Desk, view: ViewOptions | None = None, **changes: Any) -> TestClient:
    at = changes.pop("base_url", "http://127.0.0.1:8000")
    app = build(of, view or ViewOptions())
    return TestClient(app, base_url=at, headers=OURS, raise_server_exceptions=False, **changes)


def opened(of: Desk) -> TestClient:
    page = client(of)
    answer = page.post("/api/open", json={"case": "0"})
    assert answer.status_code == 200, answer.text
    page.headers["X-Tab"] = answer.json()["tab"]
    return page


def test_a_case_from_the_list_to_the_saved_mask(tmp_path: Path) -> None:
    at = desk(tmp_path, output=tmp_path / "out")
    start = client(at).get("/api/start").json()
    assert [c["name"] for c in start["cases"]] == ["heart"]
    assert start["structures"][0] == {"name": "cavity", "value": 500}
    page = opened(at)
    image = np.frombuffer(page.get("/api/image").content, "<u2").reshape(SHAPE, order="F")
    array = nib.load(tmp_path / "images" / "heart_0000.nii.gz").get_fdata()
    assert np.abs(image * (array.max() / 65535) - array).max() < 1e-4
    state, places = split(page.post("/api/prompt", json=box("cavity")).content)
    assert np.array_equal(places, box_mask()) and state["labels"][0]["voxels"] == box_mask().sum()
    assert page.post("/api/save").json()["files"] == [
        str(tmp_path / "out" / name) for name in ("heart.nii.gz", "heart_prompts.json")
    ]
    check_form("prompts", tmp_path / "out" / "heart_prompts.json")
    saved = nib.load(tmp_path / "out" / "heart.nii.gz")
    assert np.array_equal(np.asarray(saved.dataobj), 500 * box_mask())
    assert np.allclose(saved.affine, nib.load(tmp_path / "images" / "heart_0000.nii.gz").affine)
    got = page.get("/api/mask")
    assert got.headers["x-name"] == "heart.nii.gz"
    assert got.content == (tmp_path / "out" / "heart.nii.gz").read_bytes()
    state, places = split(page.post("/api/undo").content)
    assert not places.any() and (state["steps"], state["undone"]) == (0, 1)


def test_prompts_come_back_as_predict_reads_them(tmp_path: Path) -> None:
    page = opened(desk(tmp_path))
    for given in (
        box(),
        {"kind": "point", "label": 500, "position": [30, 30, 9], "positive": False},
        {"kind": "scribble", "label": 7, "path": [[1, 2, 3], [4, 5, 3]]},
    ):
        assert page.post("/api/prompt", json=given).status_code == 200
    got = page.get("/api/prompts")
    path = tmp_path / got.headers["x-name"]
    path.write_bytes(got.content)
    check_form("prompts", path)
    assert set(load_prompts(path).named) == {"heart"} and path.name == "heart_prompts.json"
    before, mask = split(page.post("/api/state").content)
    page.post("/api/reset")
    answer = page.post("/api/prompts", params={"name": path.name}, content=got.content)
    after, again = split(answer.content)
    assert after["prompts"] == before["prompts"] and np.array_equal(mask, again)


def test_masks_travel_in_a_zip(tmp_path: Path) -> None:
    page = opened(desk(tmp_path, predictor(Answers(0))))
    page.post("/api/automatic", json={"on": True})
    given = {"kind": "point", "label": 2221, "position": [5, 7, 3]}
    _, mask = split(page.post("/api/prompt", json=given).content)
    got = page.get("/api/prompts")
    names = zipfile.ZipFile(io.BytesIO(got.content)).namelist()
    assert names == ["heart_prompts.json", "heart_mask_2221.nii.gz"]
    page.post("/api/reset")
    page.post("/api/automatic", json={"on": True})
    answer = page.post("/api/prompts", params={"name": "a.zip"}, content=got.content)
    assert answer.status_code == 200, answer.text
    assert np.array_equal(split(answer.content)[1], mask)


def test_an_upload(tmp_path: Path) -> None:
    at = desk(tmp_path)
    page = client(at)
    content = write_case(tmp_path / "elsewhere", "other.nii.gz").read_bytes()
    key = page.post("/api/upload", params={"name": "../../other.nii.gz"}, content=content).json()
    answer = page.post("/api/open", json={"uploads": [key["id"]]}).json()
    assert answer["case"] == "other" and answer["shape"] == list(SHAPE)
    again = page.post("/api/open", json={"uploads": [key["id"]]})
    assert again.status_code == 400 and "upload the image again" in again.json()["error"]
    at.close()


@each(
    ("path", "given", "message"),
    [
        ("open", {"case": "/etc/passwd"}, "not in the list"),
        ("open", {"uploads": ["9"]}, "upload the image again"),
        ("prompt", {"kind": "point", "position": [1, 1, 1]}, "label: missing"),
        ("prompt", {"kind": "star", "label": 1}, "expected point, box or scribble"),
        ("prompt", {"kind": "point", "label": 1, "position": [99, 1, 1]}, "outside the image"),
        ("prompt", {"kind": "point", "label": 1, "position": None}, "point"),
        ("prompt", {"kind": "scribble", "label": 1, "path": []}, "at least one vertex"),
        ("prompt", {"kind": "box", "label": 1, "lower": [1, 1, 1], "upper": [1, 2, 2]}, "box"),
        ("lock", {"label": 500, "on": "yes"}, "expected true or false"),
        ("lock", {"label": "liver", "on": True}, "liver"),
        ("remove", {"label": 500, "kind": "point", "number": 0}, "has 0 prompts of the kind point"),
        ("remove", {"label": 500, "kind": "point", "number": -1}, "found number -1"),
        ("remove", {"label": 500, "kind": "mask", "number": 0}, "expected one of point, box"),
        ("remove", {"label": 500, "kind": "point", "number": "0"}, "expected a whole number"),
        ("remove", {"kind": "point", "number": 0}, "label"),
        ("save", {}, "no output folder"),
    ],
)
def test_bad_requests_are_one_line(
    path: str, given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    answer = opened(desk(tmp_path)).post(f"/api/{path}", json=given)
    assert answer.status_code == 400
    assert message in answer.json()["error"] and "\n" not in answer.json()["error"]


def test_other_bad_requests(tmp_path: Path) -> None:
    page = opened(desk(tmp_path, upload_mib=1))
    for name, content, status, message in (
        ("a.txt", b"x", 400, "expected an image file"),
        ("a.nii.gz", bytes((1 << 20) + 1), 413, "more than 1 MiB"),
    ):
        answer = page.post("/api/upload", params={"name": name}, content=content)
        assert answer.status_code == status and message in answer.json()["error"]
    assert page.post("/api/prompt", content=b"{").json()["error"].startswith("request")
    assert page.post("/api/fly").status_code == 404 and page.get("/static/no.js").status_code == 404
    assert page.get("/static/..%2fapp.py").status_code == 404
    page.headers["X-Tab"] = "another"
    assert page.get("/api/image").status_code == 410


def test_a_prompts_file_reads_no_other_file(tmp_path: Path) -> None:
    page = opened(desk(tmp_path))
    mask = str(tmp_path / "images" / "heart_0000.nii.gz")
    labels = {"7": {"mask": mask}}
    for content in ({"labels": labels}, {"cases": {"heart": labels}}):
        content = {"format": "nnunet-prompt", "version": 1, **content}
        answer = page.post("/api/prompts", params={"name": "p.json"}, content=json.dumps(content))
        assert answer.status_code == 400 and "may read no other files" in answer.json()["error"]


def test_a_zip_is_bounded(tmp_path: Path) -> None:
    page = opened(desk(tmp_path, upload_mib=1))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", bytes(3 << 20))
    answer = page.post("/api/prompts", params={"name": "a.zip"}, content=packed.getvalue())
    assert answer.status_code == 400 and "refused" in answer.json()["error"]
    answer = page.post("/api/prompts", params={"name": "a.zip"}, content=b"no zip")
    assert answer.status_code == 400 and "not a zip" in answer.json()["error"]


def test_who_may_talk_to_it(tmp_path: Path) -> None:
    page = client(desk(tmp_path))
    assert page.get("/api/start", headers={"Host": "evil.example:8000"}).status_code == 403
    assert page.get("/api/start", headers={"Host": "localhost:8000"}).status_code == 200
    assert page.get("/api/start", headers={"Host": "[::1]:8000"}).status_code == 200
    origin = {"Origin": "http://evil.example"}
    assert page.post("/api/open", json={"case": "0"}, headers=origin).status_code == 403
    del page.headers["X-Nnunet-Prompt"]
    assert page.post("/api/open", json={"case": "0"}).status_code == 403
    answer = page.get("/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "access-control-allow-origin" not in answer.headers
    assert "http" not in answer.text  # no resource from elsewhere


def test_a_token(tmp_path: Path) -> None:
    token = "0123456789abcdef"
    view = ViewOptions(host="0.0.0.0", token=token)
    page = client(desk(tmp_path), view, base_url="http://any.example:8000")
    assert page.get("/").status_code == 401 and page.get("/?token=wrong").status_code == 401
    bearer = {"Authorization": f"Bearer {token}"}
    assert page.get("/api/start", headers=bearer).status_code == 200
    assert page.get("/api/start").status_code == 401
    assert page.get(f"/?token={token}").status_code == 200  # after the redirect, by the cookie
    assert page.get("/api/start").status_code == 200
