"""CVPR's files: what an evaluator writes is read, and a file that could run a program is not opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.challenge.forms.cvpr import job_of, run_files
from nnunet_prompt.challenge.forms.npz_file import read_npz, write_segs
from nnunet_prompt.challenge.submit import SubmitOptions
from nnunet_prompt.cli.main import main
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.prompts.types import Box, Point
from tests.challenge.forms.jobs import lively_model
from tests.challenge.forms.test_answer import Network
from tests.helpers.each import each

pytestmark = pytest.mark.slow

SHAPE = (5, 7, 6)  # D, H, W
BOXES = [
    {"z_min": 1, "z_max": 2, "z_mid": 1, "z_mid_x_min": 1, "z_mid_y_min": 2, "z_mid_x_max": 3, "z_mid_y_max": 4},
    {"z_min": 4, "z_max": 4, "z_mid": 4, "z_mid_x_min": 0, "z_mid_y_min": 0, "z_mid_x_max": 5, "z_mid_y_max": 6},
]  # fmt: skip
FILLED = np.zeros(SHAPE, np.uint8)
FILLED[1:3, 2:5, 1:4] = 1
FILLED[4] = 2


def write(path: Path, **changes: Any) -> Path:
    """A file as the evaluator writes it; None leaves a key out."""
    image = np.arange(np.prod(SHAPE), dtype=np.uint8).reshape(SHAPE)
    content = {"imgs": image, "spacing": np.array([4.0, 1.5, 1.25]), "boxes": BOXES, **changes}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **{k: v for k, v in content.items() if v is not None})
    return path


def clicks(*of: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """As the evaluator makes them: lists of numpy's integers."""
    return [{k: [list(np.array(p)) for p in v] for k, v in one.items()} for one in of]


def test_what_is_in_a_file(tmp_path: Path) -> None:
    before = np.zeros(SHAPE, np.uint8)
    before[1, 2, 3] = 2
    said = clicks({"fg": [(1, 3, 2)], "bg": []}, {"fg": [], "bg": [(4, 0, 5)]})
    order = [["fg"], ["bg"]]
    case = read_npz(write(tmp_path / "a.npz", clicks=said, clicks_order=order, prev_pred=before))
    assert case.image.shape == SHAPE[::-1] and case.image[5, 6, 4] == 5 * 7 * 6 - 1
    assert case.spacing == (1.25, 1.5, 4.0)
    assert case.before is not None and case.before[3, 2, 1] == 2
    first, second = case.prompts[1], case.prompts[2]
    assert first.boxes == (Box((1, 2, 1), (4, 5, 3)),) and first.points == (Point((2, 3, 1)),)
    assert second.boxes == (Box((0, 0, 4), (6, 7, 5)),) and second.points == (
        Point((5, 0, 4), False),
    )


def test_a_first_step_without_boxes_and_an_empty_mask(tmp_path: Path) -> None:
    said = clicks({"fg": [(1, 3, 2)], "bg": []})
    path = write(tmp_path / "a.npz", boxes=None, clicks=said, prev_pred=np.zeros(SHAPE, np.uint8))
    job = job_of(path)
    assert job.prompts is not None and list(job.prompts.labels) == [1]
    assert job.automatic is None and job.case == "a"


def test_boxes_are_answered_in_the_arrays_own_order(tmp_path: Path) -> None:
    paths = [write(tmp_path / "in" / "a.npz"), write(tmp_path / "in" / "b.npz")]
    output = tmp_path / "out"
    output.mkdir()
    assert run_files(Network(), paths, output) == []
    for path in paths:
        with np.load(output / path.name) as found:
            assert list(found) == ["segs"] and found["segs"].dtype == np.uint8
            assert np.array_equal(found["segs"], FILLED)


def test_one_file_does_not_stop_the_others(tmp_path: Path) -> None:
    paths = [tmp_path / "a.npz", write(tmp_path / "b.npz")]
    paths[0].write_bytes(b"no zip")
    output = tmp_path / "out"
    output.mkdir()
    report = SubmitOptions(report=tmp_path / "report.json")
    (trouble,) = run_files(Network(), paths, output, submission=report)
    assert (trouble.case, trouble.stage, trouble.has_mask) == ("a", "image", False)
    assert [p.name for p in output.iterdir()] == ["b.npz"]
    assert '"status": "missing"' in (tmp_path / "report.json").read_text()


def test_where_the_network_fails_boxes_are_filled(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (trouble,) = run_files(Network(RuntimeError("no")), [write(tmp_path / "a.npz")], output)
    assert trouble.has_mask
    with np.load(output / "a.npz") as found:
        assert set(np.unique(found["segs"])) == {0, 1, 2}


class Program:
    """Runs when it is unpickled."""

    def __reduce__(self) -> Any:
        return (os.mkdir, ("ran",))


def test_no_program_of_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.npz", boxes=np.array([Program()], object))
    with pytest.raises(NNUNetPromptError, match=r"mkdir, expected numbers and lists alone"):
        read_npz(path)
    assert not (tmp_path / "ran").exists()
    np.load(path, allow_pickle=True)["boxes"]  # so it would be
    assert (tmp_path / "ran").exists()


@each(
    ("changes", "line"),
    [
        ({"imgs": None}, "imgs: expected numbers .D, H, W., found None"),
        ({"imgs": np.zeros((3, 4))}, "imgs: expected numbers"),
        ({"imgs": np.full(SHAPE, np.nan)}, "imgs: expected finite voxels"),
        ({"spacing": np.array([1, 0, 1])}, "spacing: expected numbers above 0"),
        ({"spacing": np.array([1, 2])}, "spacing: expected three numbers"),
        ({"prev_pred": np.zeros((1, 2, 3), np.uint8)}, r"prev_pred: expected whole numbers of the shape \(5, 7, 6\)"),
        ({"boxes": np.zeros((2, 6))}, "boxes: expected one dictionary per object"),
        ({"boxes": [{"z_min": 0}]}, r"boxes\[0\]: z_max: expected a number, found none"),
        ({"boxes": [{**BOXES[0], "z_max": "x"}]}, r"boxes\[0\]: upper corner: expected three numbers"),
        ({"boxes": [{**BOXES[0], "z_max": 0}]}, r"boxes\[0\]: box: every lower corner"),
        ({"boxes": [{**BOXES[0], "z_max": 9}]}, "object 1: box .* leaves the image"),
        ({"clicks": clicks({"fg": [], "bg": []})}, "found 2 and 1"),
        ({"boxes": None, "clicks": [{"fg": 3}]}, r"clicks\[0\]: fg: expected a list, found 3"),
        ({"boxes": None, "clicks": [{"fg": [[1, 2]]}]}, r"clicks\[0\]: fg: expected three numbers"),
        ({"boxes": None}, "expected boxes, clicks or prev_pred"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_line(tmp_path: Path, changes: Any, line: str) -> None:
    path = write(tmp_path / "a.npz", **changes)
    with pytest.raises(NNUNetPromptError, match=line) as caught:
        job_of(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_truncated_file_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz")
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:size])
        with pytest.raises(NNUNetPromptError, match=r"cannot be read as \.npz"):
            read_npz(path)


def test_many_labels_are_not_cut_off(tmp_path: Path) -> None:
    labels = np.arange(300).reshape(3, 10, 10)
    write_segs(tmp_path / "a.npz", labels)
    with np.load(tmp_path / "a.npz") as found:
        assert np.array_equal(found["segs"].T, labels)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = lively_model(tmp_path / "model")
    write(
        tmp_path / "in" / "a.npz",
        clicks=clicks({"fg": [(1, 3, 2)], "bg": []}, {"fg": [], "bg": []}),
    )
    given = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "-m", str(model)]
    assert main(["submit", "--form", "cvpr", *given, "-device", "cpu", "--strict"]) == 0
    with np.load(tmp_path / "out" / "a.npz") as found:
        assert found["segs"].shape == SHAPE and found["segs"][1, 3, 2] == 1
    (tmp_path / "in" / "b.npz").write_bytes(b"no")
    assert main(["submit", "--form", "cvpr", *given, "-device", "cpu"]) == 1
    assert "1 file(s) have no mask: b" in capsys.readouterr().err
    for path in (tmp_path / "in").iterdir():
        path.unlink()
    assert main(["submit", "--form", "cvpr", *given]) == 1
    assert "no .npz file in it" in capsys.readouterr().err
