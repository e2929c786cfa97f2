"""What the writer of raw data leaves on disk, what it keeps, and what it refuses."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import DatasetError, ImageError, OutputError
from nnunet_prompt.data.case import Case
from nnunet_prompt.data.raw import RawTarget, keep_out_of, raw_root, write_raw_dataset
from nnunet_prompt.data.side_file import patients_of, read_side_file
from nnunet_prompt.data.structures import Structure, StructureTable, structures_from_dataset_json
from tests.helpers.each import each
from tests.helpers.schemas import check_form

AFFINE = np.diag([1.5, 1.25, 8.0, 1.0])
TABLE = StructureTable(
    (
        Structure("LV", 1, (1,), 500),
        Structure("wall", 2, (2, 3), 200),
        Structure("scar", 3, (3,), 2221),
    ),
    priority=("scar",),
)
IMAGE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
LABEL = np.arange(24).reshape(2, 3, 4) % 4


def case(name: str, **changes: Any) -> Case:
    return replace(Case(name, (IMAGE,), LABEL, affine=AFFINE), **changes)


def target(root: Path, **changes: Any) -> RawTarget:
    return replace(RawTarget(501, "Heart", root=root), **changes)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_the_folder_and_its_dataset_json(tmp_path: Path) -> None:
    cases = [
        case("a", patient="p-1", centre="Vienna", source="/scans/p-1.nii.gz", sequence="LGE"),
        case("b", annotated=frozenset({"wall", "LV"}), patient="p-2"),
    ]
    where = target(tmp_path, reference="a paper", licence="CC0")
    folder = write_raw_dataset(cases, where, table=TABLE)
    assert folder == tmp_path / "Dataset501_Heart"
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == [
        "dataset.json",
        "imagesTr/a_0000.nii.gz",
        "imagesTr/b_0000.nii.gz",
        "labelsTr/a.nii.gz",
        "labelsTr/b.nii.gz",
        "nnunet_prompt_cases.json",
    ]
    assert read(folder / "dataset.json") == {
        "name": "Heart",
        "reference": "a paper",
        "licence": "CC0",
        "channel_names": {"0": "image"},
        "labels": {"background": 0, "LV": 1, "wall": 2, "scar": 3},
        "numTraining": 2,
        "file_ending": ".nii.gz",
        "nnunet_prompt": {
            "version": 1,
            "orientation": "canonical",
            "structures": {
                "LV": {"label": 1, "members": [1], "official": 500},
                "wall": {"label": 2, "members": [2, 3], "official": 200},
                "scar": {"label": 3, "members": [3], "official": 2221},
            },
            "priority": ["scar"],
            "cases": {"b": {"annotated": ["LV", "wall"]}},
        },
    }
    check_form("dataset_block", read(folder / "dataset.json")["nnunet_prompt"])
    check_form("nnunet_prompt_cases", folder / "nnunet_prompt_cases.json")
    text = (folder / "dataset.json").read_text()
    assert not [word for word in ("p-1", "p-2", "Vienna", "scans", "LGE") if word in text]
    assert read_side_file(folder) == {
        "a": {
            "patient": "p-1",
            "centre": "Vienna",
            "source": "/scans/p-1.nii.gz",
            "sequence": "LGE",
        },
        "b": {"patient": "p-2"},
    }
    assert patients_of(folder) == {"a": "p-1", "b": "p-2"}
    again = structures_from_dataset_json(read(folder / "dataset.json"))
    assert again.structures == TABLE.structures
    assert again.annotated_labels("a") == {1, 2, 3}
    assert again.annotated_labels("b") == {1, 2}


def test_what_may_be_pointed_at_is_written_where_it_is_more_than_what_is_taught(
    tmp_path: Path,
) -> None:
    taught, shown = frozenset({"LV"}), frozenset({"LV", "scar"})
    cases = [
        case("more", annotated=taught, prompted=shown),
        case("same", annotated=taught, prompted=taught),
        case("plain", annotated=taught),
        case("all", prompted=frozenset(TABLE.names)),
    ]
    folder = write_raw_dataset(cases, target(tmp_path), table=TABLE)
    content = read(folder / "dataset.json")
    assert content["nnunet_prompt"]["cases"] == {
        "more": {"annotated": ["LV"], "prompted": ["LV", "scar"]},
        "same": {"annotated": ["LV"]},
        "plain": {"annotated": ["LV"]},
    }
    again = structures_from_dataset_json(content)
    assert again.prompted_labels("more") == {1, 3} and again.annotated_labels("more") == {1}
    write_raw_dataset(
        cases, target(tmp_path), table=TABLE
    )  # the same description: nothing is refused


@pytest.mark.slow  # nnU-Net's check starts processes
def test_nnunet_finds_the_data_set_in_order(tmp_path: Path) -> None:
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

    where = target(tmp_path, channel_names=("T1", "CT"), ignore_label=True)
    cases = [
        case(n, images=(IMAGE, IMAGE), label=np.where(LABEL == 3, 4, LABEL))
        for n in ("a", "b_0000")
    ]
    folder = write_raw_dataset(cases, where, table=TABLE)
    verify_dataset_integrity(str(folder), num_processes=1)
    content = read(folder / "dataset.json")
    assert content["labels"] == {"background": 0, "LV": 1, "wall": 2, "scar": 3, "ignore": 4}
    assert content["channel_names"] == {"0": "T1", "1": "CT"}


def test_arrays_are_canonical_and_labels_small(tmp_path: Path) -> None:
    folder = write_raw_dataset([case("a")], target(tmp_path), table=TABLE)
    image, label = (nib.load(folder / p) for p in ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"))
    # slices first, rows towards posterior, columns towards left; the file has the axes reversed
    expected = IMAGE.transpose(2, 1, 0)[:, ::-1, ::-1]
    np.testing.assert_array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), expected)
    np.testing.assert_array_equal(np.asarray(label.dataobj), np.asarray(image.dataobj) % 4)
    assert label.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(image.affine, label.affine)
    np.testing.assert_array_equal(image.header.get_zooms(), (1.5, 1.25, 8.0))


def test_held_out_cases(tmp_path: Path) -> None:
    held_out = [case("t", label=None, patient="p"), case("u")]
    folder = write_raw_dataset([case("a")], target(tmp_path), table=TABLE, test_cases=held_out)
    assert sorted(p.name for p in (folder / "imagesTs").iterdir()) == [
        "t_0000.nii.gz",
        "u_0000.nii.gz",
    ]
    assert [p.name for p in (folder / "labelsTs").iterdir()] == ["u.nii.gz"]
    assert read(folder / "dataset.json")["numTraining"] == 1
    assert patients_of(folder) == {}  # not every case has one


def test_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_def_n_proc", "1")  # so that a is done when the run is stopped

    def stopped() -> Iterator[Case]:
        yield case("a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_raw_dataset(stopped(), target(tmp_path), table=TABLE)
    folder = target(tmp_path).folder
    assert not (folder / "dataset.json").exists()
    done = folder / "imagesTr" / "a_0000.nii.gz"
    os.utime(done, (1, 1))
    (folder / "labelsTr" / ".partial-7-b.nii.gz").write_bytes(b"half")  # from a killed run
    # case a is complete and is not even read: its source is gone
    gone = case("a", images=(tmp_path / "gone.nii.gz",), annotated=frozenset({"LV"}))
    write_raw_dataset([gone, case("b")], target(tmp_path), table=TABLE)
    assert done.stat().st_mtime == 1
    assert not list(folder.glob("*/.partial*"))
    content = read(folder / "dataset.json")
    assert content["numTraining"] == 2
    assert content["nnunet_prompt"]["cases"] == {"a": {"annotated": ["LV"]}}
    # and a finished data set can grow
    write_raw_dataset([gone, case("b"), case("c")], target(tmp_path), table=TABLE)
    assert read(folder / "dataset.json")["numTraining"] == 3


def test_half_a_case_is_written_again(tmp_path: Path) -> None:
    folder = write_raw_dataset([case("a")], target(tmp_path), table=TABLE)
    (folder / "labelsTr" / "a.nii.gz").unlink()
    write_raw_dataset([case("a")], target(tmp_path), table=TABLE)
    assert (folder / "labelsTr" / "a.nii.gz").is_file()


def test_the_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match=r"nnUNet_raw is not set: export nnUNet_raw="):
        write_raw_dataset([case("a")], RawTarget(1, "Heart"), table=TABLE)
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    assert raw_root() == tmp_path
    folder = write_raw_dataset([case("a")], RawTarget(1, "Heart"), table=TABLE)
    assert folder == tmp_path / "Dataset001_Heart"


@each(
    ("changes", "match"),
    [
        ({"dataset_id": 0}, "from 1 to 999"),
        ({"dataset_id": 1000}, "from 1 to 999"),
        ({"name": ""}, "letters, digits"),
        ({"name": "../x"}, "letters, digits"),
        ({"channel_names": ()}, "at least one channel"),
    ],
)
def test_targets_that_nnunet_would_not_find(
    tmp_path: Path, changes: dict[str, Any], match: str
) -> None:
    with pytest.raises(DatasetError, match=match):
        target(tmp_path, **changes)


@each(
    ("cases", "error", "match"),
    [
        ([], DatasetError, "no training case"),
        ([case("a"), case("a")], DatasetError, "case a: found twice"),
        ([case("../a")], DatasetError, "can be a file name"),
        ([case(".a")], DatasetError, "can be a file name"),
        ([case("")], DatasetError, "can be a file name"),
        ([case("a", images=())], DatasetError, r"found 0 images, .* channels \['image'\]"),
        ([case("a", images=(IMAGE, IMAGE))], DatasetError, "found 2 images"),
        ([case("a", label=None)], DatasetError, "case a: it has no label map"),
        ([case("a", label=LABEL + 1)], DatasetError, "holds 4, expected label ids from 0 to 3"),
        ([case("a", label=LABEL - 1)], DatasetError, "holds -1, expected label ids from 0 to 3"),
        ([case("a", label=LABEL[1:])], ImageError, "case a: .* resample the label map"),
        ([case("a", annotated=frozenset({"liver"}))], DatasetError, "annotated names 'liver'"),
        ([case("a", prompted=frozenset({"liver"}))], DatasetError, "prompted names 'liver'"),
        ([case("a", prompted=frozenset({"LV"}))], DatasetError, "'a'.*prompted must hold every"),
    ],
)
def test_cases_that_are_refused(
    tmp_path: Path, cases: list[Case], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match) as caught:
        write_raw_dataset(cases, target(tmp_path), table=TABLE)
    assert "\n" not in str(caught.value)
    assert not (target(tmp_path).folder / "dataset.json").exists()


def test_nothing_is_mixed_up(tmp_path: Path) -> None:
    folder = write_raw_dataset([case("a"), case("b")], target(tmp_path), table=TABLE)
    with pytest.raises(DatasetError, match=r"Dataset501_Heart: the data set id 501 is taken"):
        write_raw_dataset([case("a")], target(tmp_path, name="Other"), table=TABLE)
    with pytest.raises(DatasetError, match=r"b_0000.nii.gz: belongs to none of the cases"):
        write_raw_dataset([case("a")], target(tmp_path), table=TABLE)
    with pytest.raises(
        DatasetError, match=r"channel_names is .*image.*, the new data set has .*CT"
    ):
        write_raw_dataset([case("a")], target(tmp_path, channel_names=("CT",)), table=TABLE)
    with pytest.raises(DatasetError, match="nnunet_prompt is"):
        write_raw_dataset([case("a")], target(tmp_path), table=replace(TABLE, priority=()))
    (folder / "dataset.json").write_text("[")
    with pytest.raises(
        DatasetError, match=r"dataset\.json: not readable as JSON .*choose another id"
    ):
        write_raw_dataset([case("a")], target(tmp_path), table=TABLE)


def test_voxels_that_are_not_finite_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = np.where(IMAGE < 2, np.nan, IMAGE)
    told: list[tuple[str, int]] = []
    cases = [case("a", images=(image,)), case("b")]
    for _ in range(2):  # the second time both are kept
        write_raw_dataset(
            cases, target(tmp_path), table=TABLE, on_written=lambda *said: told.append(said)
        )
    assert told == [("a", 2), ("b", 0)]
    assert "case a: 2 voxels were not finite and are 0 now" in caplog.text


class TestWhatIsKept:
    """A file of a case is kept where it is whole and fits; whatever else has its name is written again."""

    @each("part", ["imagesTr/a_0000", "labelsTr/a"])
    @each("kept", [0.0, 0.5, 0.99])
    def test_half_a_file_is_not(self, tmp_path: Path, part: str, kept: float) -> None:
        folder = write_raw_dataset([case("a")], target(tmp_path), table=TABLE)
        path = folder / f"{part}.nii.gz"
        whole = path.read_bytes()
        path.write_bytes(whole[: int(kept * len(whole))])
        write_raw_dataset([case("a")], target(tmp_path), table=TABLE)
        assert path.read_bytes() == whole

    @each("value", [99, None])
    def test_a_label_map_of_something_else_is_not(self, tmp_path: Path, value: int | None) -> None:
        folder = write_raw_dataset([case("a")], target(tmp_path), table=TABLE)
        path = folder / "labelsTr" / "a.nii.gz"
        whole, stored = path.read_bytes(), nib.load(path)
        array = np.asarray(stored.dataobj)
        other = array[:-1] if value is None else np.full_like(array, value)
        nib.save(nib.Nifti1Image(other, stored.affine), path)
        write_raw_dataset([case("a")], target(tmp_path), table=TABLE)
        assert path.read_bytes() == whole


def test_a_source_in_the_data_set_itself_is_refused_before_it_is_read(tmp_path: Path) -> None:
    inside = target(tmp_path).folder / "imagesTr" / "a_0000.nii.gz"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(b"of the user")
    for cases in ([case("a", images=(inside,))], iter([case("a", images=(inside,))])):
        with pytest.raises(OutputError, match=r"a_0000\.nii\.gz, and inputs are never written to"):
            write_raw_dataset(cases, target(tmp_path), table=TABLE)
    assert inside.read_bytes() == b"of the user"


def test_raw_data_in_a_download_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_out_of([tmp_path])  # that nnUNet_raw is not set is reported later
    for inside in (tmp_path, tmp_path / "download" / "raw"):
        monkeypatch.setenv("nnUNet_raw", str(inside))
        with pytest.raises(OutputError, match="lies in the source"):
            keep_out_of([tmp_path])
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    keep_out_of([tmp_path / "download"])
