"""One data set of all CARE downloads: labels, names, annotation, weights, folds, and what stops it."""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.care_labels import TASKS, table_for
from nnunet_prompt.data.care_labels import to_unified as to_registry
from nnunet_prompt.data.case import Case
from nnunet_prompt.data.plans import no_resampling_plans
from nnunet_prompt.data.side_file import read_side_file
from nnunet_prompt.data.splits import Fold
from nnunet_prompt.data.structures import structures_from_dataset_json
from nnunet_prompt.dataset_conversion.care.detect import tasks_of
from nnunet_prompt.dataset_conversion.care.download import CareOptions
from nnunet_prompt.dataset_conversion.care.unify import (
    _write_folds,
    examine,
    marks,
    plan_dataset,
    sampling_weights,
    to_unified,
    unified_table,
    unify,
)
from nnunet_prompt.io.nifti import read_nifti
from nnunet_prompt.prompts.frames import canonical_map
from tests.dataset_conversion.care import test_myops, test_whs
from tests.dataset_conversion.care.downloads import SECRETS, Downloads, make_downloads
from tests.helpers.schemas import check_form
from tests.official_fixture import la_masks, to_official

WHOLE_HEART = {"myocardium", "lv", "rv", "la", "ra", "aorta", "pulmonary_artery"}
MYOPS = {"myocardium", "myocardium_healthy", "lv", "rv", "edema", "scar"}


@pytest.fixture
def downloads(tmp_path: Path, raw: Path) -> Downloads:
    return make_downloads(tmp_path / "downloads")


@pytest.fixture
def folder(downloads: Downloads) -> Path:
    return unify(downloads.all, 510)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Downloads:
    return make_downloads(tmp_path_factory.mktemp("downloads"))


@contextlib.contextmanager
def planning(root: Path) -> Iterator[None]:
    """nnU-Net's folders in `root`, and an nnU-Net that does not plan."""
    where = "nnunet_prompt.dataset_conversion.care.unify.{}"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("raw", "preprocessed"):
            patch.setenv(f"nnUNet_{name}", str(root / name))
        plans = create_autospec(plan_dataset, return_value=Path("nnUNetPlans.json"))
        patch.setattr(where.format("plan_dataset"), plans)
        more = create_autospec(no_resampling_plans, return_value=Path("NoResampling.json"))
        patch.setattr(where.format("no_resampling_plans"), more)
        yield
    assert plans.mock_calls == more.mock_calls


@pytest.fixture(scope="module")
def unified(made: Downloads, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set that is only looked at."""
    root = tmp_path_factory.mktemp("unified")
    with planning(root):
        return unify(made.all, 510)


@pytest.fixture(scope="module")
def splits_file(unified: Path) -> Path:
    return unified.parents[1] / "preprocessed" / unified.name / "splits_final.json"


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def by_source(folder: Path) -> dict[str, str]:
    """The name of the case that was made of each file."""
    return {f"{e['task']}/{e['source']}": case for case, e in read_side_file(folder).items()}


def refusal(downloads: list[Path], **more: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        unify(downloads, 510, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def labels_of(folder: Path, case: str) -> npt.NDArray[np.uint8]:
    """The label map of a case in the reader frame."""
    return np.asarray(nib.load(folder / "labelsTr" / f"{case}.nii.gz").dataobj).transpose(2, 1, 0)


def canonical(path: Path) -> npt.NDArray[np.float32]:
    """A file of a download in the reader frame."""
    volume = read_nifti(path)
    return canonical_map(volume.affine, volume.shape).apply(volume.array)


class TestLabels:
    def test_of_myops_whs_and_liqa_agree_through_the_inverse_map(
        self, unified: Path, made: Downloads
    ) -> None:
        found = by_source(unified)
        myops = "Myo_train/MyoPS_train/CenterB/Case2002/Case2002"
        for task, image, label in (
            *(("myops", f"{myops}_{s}.nii.gz", f"{myops}_gd.nii.gz") for s in test_myops.THREE),
            (
                "whs",
                "C and D mr_train/Case3001_image.nii.gz",
                "C and D mr_train/Case3001_label.nii.gz",
            ),
            ("liqa", "Vendor_A/1009-A-S1/GED4.nii.gz", "Vendor_A/1009-A-S1/mask_GED4.nii.gz"),
        ):
            source: Path = getattr(made, task)
            case = found[f"{task}/{image}"]
            labels = labels_of(unified, case)
            truth = canonical(source / label)
            assert np.array_equal(to_official(labels, task, unified=True), truth), image
            assert len(np.unique(truth)) > 1
            written = np.asarray(nib.load(unified / "imagesTr" / f"{case}_0000.nii.gz").dataobj)
            assert np.array_equal(written.transpose(2, 1, 0), canonical(source / image)), image

    def test_of_an_atrium_give_both_masks_back(self, unified: Path, made: Downloads) -> None:
        found = by_source(unified)
        for task in (1, 2):
            patient = made.lascarqs / f"task{task}/train_data/train_1"
            case = found[f"lascarqs/task{task}/train_data/train_1/enhanced.nii.gz"]
            cavity, scar = la_masks(labels_of(unified, case), "unified")
            assert np.array_equal(cavity, canonical(patient / "atriumSegImgMO.nii.gz") > 0)
            if task == 1:
                assert np.array_equal(scar, canonical(patient / "scarSegImgM.nii.gz") > 0)
            assert scar.any() == (task == 1)

    def test_a_muscle_without_reader_stays_apart_from_a_healthy_one(self, unified: Path) -> None:
        labels = read(unified / "dataset.json")["labels"]
        found = by_source(unified)
        train = "myops/Myo_train/MyoPS_train"
        a = labels_of(unified, found[f"{train}/CenterA/Case1001/Case1001_LGE.nii.gz"])
        b = labels_of(unified, found[f"{train}/CenterB/Case2001/Case2001_LGE.nii.gz"])
        assert labels["myocardium"] in a and labels["myocardium_healthy"] not in a
        assert labels["myocardium_healthy"] in b and labels["myocardium"] not in b


class TestDescription:
    def test_one_z_scored_channel_in_canonical_orientation(self, unified: Path) -> None:
        described = read(unified / "dataset.json")
        assert unified.name == "Dataset510_CARE"
        assert described["channel_names"] == {"0": "image"}
        assert described["numTraining"] == 16
        assert described["nnunet_prompt"]["orientation"] == "canonical"
        assert "ignore" not in described["labels"]
        table = structures_from_dataset_json(described)
        assert table.structures == table_for("unified").structures
        assert table.priority == table_for("unified").priority

    def test_what_each_sequence_teaches(self, unified: Path) -> None:
        cases = read(unified / "dataset.json")["nnunet_prompt"]["cases"]
        found = by_source(unified)

        def entry(source: str) -> tuple[set[str], set[str]]:
            told = cases[found[source]]
            return set(told["annotated"]), set(told.get("prompted", told["annotated"]))

        b = "myops/Myo_train/MyoPS_train/CenterB/Case2001/Case2001"
        assert entry(f"{b}_C0.nii.gz") == ({"myocardium", "lv", "rv"}, MYOPS)
        assert entry(f"{b}_LGE.nii.gz") == (MYOPS - {"edema"}, MYOPS)
        assert entry(f"{b}_T2.nii.gz") == ({"myocardium", "edema"}, MYOPS)
        a = {"myocardium", "lv", "scar"}
        assert entry("myops/Myo_train/MyoPS_train/CenterA/Case1001/Case1001_LGE.nii.gz") == (a, a)
        for whs in ("A ct_train/Case1001", "C and D mr_train/Case3001"):
            assert entry(f"whs/{whs}_image.nii.gz") == (WHOLE_HEART, WHOLE_HEART)
        atrium = {"la", "la_scar", "la_scar_outside"}
        assert entry("lascarqs/task1/train_data/train_1/enhanced.nii.gz") == (atrium, atrium)
        assert entry("lascarqs/task2/train_data/train_1/enhanced.nii.gz") == ({"la"}, {"la"})
        assert entry("liqa/Vendor_A/1009-A-S1/GED4.nii.gz") == ({"liver"}, {"liver"})

    def test_a_task_that_is_not_given_leaves_no_untaught_structure(
        self, downloads: Downloads
    ) -> None:
        folder = unify(downloads.all[:3], 511)  # CARE-Cardiac
        described = read(folder / "dataset.json")
        assert "liver" not in described["labels"]
        everything = table_for("unified").structures
        assert structures_from_dataset_json(described).structures == everything[:-1]

    def test_any_subset_has_labels_without_a_gap(self) -> None:
        assert unified_table() == table_for("unified")
        assert all(to_unified(task) == to_registry(task) for task in TASKS)
        table = unified_table(["lascarqs", "liqa"])
        assert [(s.name, s.label, s.members, s.official) for s in table.structures] == [
            ("la", 1, (1, 2), 420),
            ("la_scar", 2, (2, 3), 421),
            ("la_scar_outside", 3, (3,), 421),
            ("liver", 4, (4,), 1),
        ]
        assert table.priority == ("la_scar_outside", "la_scar")
        assert to_unified("liqa", ["liqa", "lascarqs"]) == {0: 0, 1: 4}
        assert unified_table(["whs"]).structures[0].members == (1,)

    def test_tasks_centres_and_modalities_are_counted(self) -> None:
        known = [
            Case(str(i), (), task=task, centre=centre, modality=modality)
            for i, (task, centre, modality) in enumerate(
                [("whs", "B", "CT"), ("whs", "A", "CT"), ("whs", "A", "MR"), ("liqa", None, "MR")]
            )
        ]
        assert marks(known) == [
            "whs: centre A (2), B (1); modality CT (2), MR (1)",
            "liqa: centre not known (1); modality MR (1)",
        ]
        assert marks([]) == []

    def test_the_side_file_tells_who_is_who(self, unified: Path) -> None:
        side = read_side_file(unified)
        case = by_source(unified)["whs/C and D mr_train/Case3001_image.nii.gz"]
        assert side[case] == {
            "patient": "whs:Case3001",
            "centre": "C and D",
            "source": "C and D mr_train/Case3001_image.nii.gz",
            "sequence": "MR",
            "task": "whs",
            "modality": "MR",
        }
        patients: dict[str, set[str]] = defaultdict(set)
        for entry in side.values():
            patients[entry["task"]].add(entry["patient"])
        assert {task: len(names) for task, names in patients.items()} == {
            "myops": 3,
            "whs": 3,  # WHS has a Case1001, too
            "lascarqs": 2,  # the third shows the image of the first
            "liqa": 3,
        }


class TestWeights:
    def test_exactly(self, unified: Path) -> None:
        table = structures_from_dataset_json(read(unified / "dataset.json"))
        found = by_source(unified)
        train = "myops/Myo_train/MyoPS_train"
        third = 1 / (3**0.5 * 3)  # three patients in the task, three sequences
        for source, weight in {
            f"{train}/CenterA/Case1001/Case1001_LGE.nii.gz": 1 / 3**0.5,
            f"{train}/CenterB/Case2001/Case2001_C0.nii.gz": third,
            f"{train}/CenterB/Case2001/Case2001_LGE.nii.gz": third,
            f"{train}/CenterB/Case2002/Case2002_T2.nii.gz": third,
            "whs/A ct_train/Case1001_image.nii.gz": 1 / 3**0.5,
            "lascarqs/task1/train_data/train_1/enhanced.nii.gz": 1 / (2**0.5 * 2),
            "lascarqs/task1/train_data/train_2/enhanced.nii.gz": 1 / 2**0.5,
            "lascarqs/task2/train_data/train_1/enhanced.nii.gz": 1 / (2**0.5 * 2),
            "liqa/Vendor_B2/1053-B2-S1/GED4.nii.gz": 1 / 3**0.5,
        }.items():
            assert table.weights[found[source]] == weight, source
        assert len(table.weights) == 16

    def test_a_task_counts_with_the_root_of_its_patients(self) -> None:
        image = (np.zeros((1, 1, 1)),)
        cases = [Case(f"m{i}", image, task="m", patient=f"m{i // 3}") for i in range(12)]
        cases += [Case(f"l{i}", image, task="l", patient=f"l{i}") for i in range(9)]
        weights = sampling_weights(cases)
        assert sum(weights[f"m{i}"] for i in range(12)) == pytest.approx(4**0.5)
        assert sum(weights[f"l{i}"] for i in range(9)) == pytest.approx(9**0.5)
        assert sampling_weights([]) == {}


class TestFolds:
    def test_patients_are_never_split_and_centres_are_held_out(
        self, unified: Path, splits_file: Path
    ) -> None:
        side = read_side_file(unified)
        splits = read(splits_file)
        assert len(splits) == 12
        for split in splits:
            sides = [{side[c]["patient"] for c in split[part]} for part in ("train", "val")]
            assert sides[0] and sides[1] and not sides[0] & sides[1]
            assert sorted(split["train"] + split["val"]) == sorted(side)
        assert sorted(c for split in splits[:5] for c in split["val"]) == sorted(side)
        held = [{(side[c]["task"], side[c]["centre"]) for c in s["val"]} for s in splits[5:]]
        assert [next(iter(h)) for h in held if len(h) == 1] == [
            ("lascarqs", "A"),
            ("liqa", "A"),
            ("liqa", "B2"),
            ("myops", "A"),
            ("myops", "B"),
            ("whs", "A"),
            ("whs", "C and D"),
        ]

    def test_which_fold_holds_out_what_is_said_beside_the_raw_data(
        self, unified: Path, splits_file: Path
    ) -> None:
        said = read(unified / "nnunet_prompt_folds.json")
        check_form("nnunet_prompt_folds", unified / "nnunet_prompt_folds.json")
        check_form("conversion_report", unified / "conversion_report.json")
        assert said["version"] == 1
        assert [f["fold"] for f in said["folds"]] == list(range(12))
        myops_b = {"fold": 9, "train": 10, "val": 6, "task": "myops", "centre": "B"}
        assert said["folds"][9] == myops_b
        assert set(said["folds"][4]) == {"fold", "train", "val"}
        assert [len(s["val"]) for s in read(splits_file)] == [f["val"] for f in said["folds"]]
        assert [p.name for p in splits_file.parent.iterdir()] == ["splits_final.json"]

    def test_the_same_again_and_other_splits(self, downloads: Downloads, tmp_path: Path) -> None:
        with planning(tmp_path):
            folder = unify([downloads.liqa], 510)
            path = tmp_path / "preprocessed" / folder.name / "splits_final.json"
            before = path.read_bytes()
            unify([downloads.liqa], 510)
            assert path.read_bytes() == before
            path.write_text("[{}]")
            assert "splits_final.json: holds other folds" in refusal([downloads.liqa])
            assert path.read_text() == "[{}]"

    def test_without_a_folder_for_it_nothing_is_planned(
        self, downloads: Downloads, caplog: pytest.LogCaptureFixture
    ) -> None:
        unify([downloads.liqa], 510)
        lines = caplog.messages
        assert "fold 4 holds out liqa B2: 2 cases" in lines  # after three folds of three patients
        assert lines[-1].startswith("nnUNet_preprocessed is not set: set it and run the same")

    def test_a_fold_of_one_case(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        folds = [Fold(("a", "b"), ("c",), "myops H"), Fold(("a",), ("b", "c"), "liqa B2")]
        _write_folds(tmp_path / "folds.json", folds)
        assert caplog.messages == [
            "fold 0 holds out myops H: 1 case",
            "fold 1 holds out liqa B2: 2 cases",
        ]

    def test_a_single_patient_is_not_split(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        test_myops.patient(tmp_path / "one/CenterB/Case2001")
        with planning(tmp_path):
            folder = unify([tmp_path / "one"], 511)
        assert read(folder / "nnunet_prompt_folds.json")["folds"] == []
        check_form("nnunet_prompt_folds", folder / "nnunet_prompt_folds.json")
        assert not (tmp_path / "preprocessed").exists()
        assert "no splits are written" in caplog.text


class TestAnonymity:
    def test_nothing_that_nnunet_reads_tells_who_it_was(self, unified: Path) -> None:
        text = (unified / "dataset.json").read_text()
        assert [s for s in SECRETS if s in text] == []
        names = [p.name for p in unified.rglob("*.nii.gz")]
        assert [s for s in SECRETS if s in " ".join(names)] == []
        cases = json.loads(text)["nnunet_prompt"]["cases"]
        assert set().union(*cases.values()) == {"annotated", "prompted", "weight"}

    def test_the_order_of_the_sources_changes_nothing(
        self, unified: Path, made: Downloads, raw: Path
    ) -> None:
        again = unify(made.all[::-1], 512)
        for name in ("nnunet_prompt_cases.json", "nnunet_prompt_folds.json"):
            assert read(again / name) == read(unified / name)
        assert read(again / "dataset.json") == read(unified / "dataset.json")


class TestLongRuns:
    def test_a_stopped_run_goes_on(self, folder: Path, downloads: Downloads) -> None:
        report = read(folder / "conversion_report.json")
        images = sorted(folder.glob("*Tr/*.nii.gz"))
        lost, kept = images[3], [p for p in images if p.name[:9] != images[3].name[:9]]
        before = {p: p.stat().st_mtime_ns for p in kept}
        lost.unlink()
        for name in ("dataset.json", "conversion_report.json", "nnunet_prompt_folds.json"):
            (folder / name).unlink()
        (folder / "imagesTr" / ".partial-1-case00001_C0_0000.nii.gz").write_bytes(b"half")
        unify(downloads.all, 510)
        assert sorted(folder.glob("*Tr/*.nii.gz")) == images
        assert {p: p.stat().st_mtime_ns for p in kept} == before
        assert not list(folder.rglob(".partial*"))
        assert read(folder / "conversion_report.json") == report

    def test_other_sources_are_refused_before_a_name_gets_another_meaning(
        self, folder: Path, downloads: Downloads
    ) -> None:
        side = (folder / "nnunet_prompt_cases.json").read_bytes()
        message = refusal(downloads.all[:3])
        assert (
            "was begun with other sources or options" in message and "remove the folder" in message
        )
        assert (folder / "nnunet_prompt_cases.json").read_bytes() == side

    def test_the_report_has_a_line_for_each_case(self, unified: Path) -> None:
        report = read(unified / "conversion_report.json")
        assert (report["written"], report["left_out"]) == (16, 0)
        assert report["cases"]["lascarqs:LAt2_001"]["done"] == [
            "the same image as LAt1_001: the two are one patient"
        ]
        assert {"myops:Case1001_LGE", "whs:Case1001"} <= set(report["cases"])


class TestDefects:
    def test_a_problem_stops_before_anything_is_written(
        self, downloads: Downloads, raw: Path
    ) -> None:
        test_whs.heart(downloads.whs / "A ct_train", "Case1003", values=(0, 205, 500, 77))
        message = refusal(downloads.all)
        assert message.startswith("case whs:Case1003: the label map holds the value 77")
        assert "--inspect" in message and "--leave-out" in message
        assert not raw.exists()

    def test_leave_out_and_unknown_to_background(self, downloads: Downloads) -> None:
        test_whs.heart(downloads.whs / "A ct_train", "Case1003", values=(0, 205, 500, 77))
        folder = unify(downloads.all, 510, options=CareOptions(leave_out=True))
        assert "77" in read(folder / "conversion_report.json")["cases"]["whs:Case1003"]["left_out"]
        assert read(folder / "dataset.json")["numTraining"] == 16
        kept = unify(downloads.all, 511, options=CareOptions(unknown_to_background=True))
        assert read(kept / "dataset.json")["numTraining"] == 17

    def test_known_defects_are_mended_as_the_converters_do_it(self, downloads: Downloads) -> None:
        test_whs.heart(downloads.whs / "C and D mr_train", "Case3010", values=(0, 205, 421, 500))
        damaged = downloads.liqa / "Vendor_A/1009-A-S1/GED4.nii.gz"
        voxels = nib.load(damaged).get_fdata(dtype=np.float32)
        voxels[0, 0, 0] = np.nan
        nib.Nifti1Image(voxels, np.diag([1.0, 1.0, 2.5, 1.0])).to_filename(damaged)
        gd = downloads.myops / "Myo_train/MyoPS_train/CenterB/Case2002/Case2002_gd.nii.gz"
        test_myops.save(
            gd, np.repeat(test_myops.labels(), 2, axis=0), np.diag([-0.75, -1.5, 10, 1])
        )
        folder = unify(downloads.all, 510)
        report = read(folder / "conversion_report.json")["cases"]
        assert "value 421 is read as 420" in report["whs:Case3010"]["done"]
        assert report["liqa:LiQA_A_1009"]["voxels_not_finite"] == 1
        assert report["myops:Case2002_LGE"]["agreement"] == "shape differs"
        labels = labels_of(folder, by_source(folder)["whs/C and D mr_train/Case3010_image.nii.gz"])
        assert read(folder / "dataset.json")["labels"]["la"] in labels

    def test_an_image_in_two_tasks_is_one_patient(self, downloads: Downloads) -> None:
        liver = downloads.liqa / "Vendor_A/1009-A-S1/GED4.nii.gz"
        heart = downloads.whs / "A ct_train/Case1001_image.nii.gz"
        nib.Nifti1Image(nib.load(liver).get_fdata().astype(np.int16), np.eye(4)).to_filename(heart)
        cases = [e.case for e in examine(tasks_of(downloads.all)) if e.case is not None]
        patients = {c.task: c.patient for c in cases if c.patient == "liqa:LiQA_A_1009"}
        assert patients == {"whs": "liqa:LiQA_A_1009", "liqa": "liqa:LiQA_A_1009"}

    def test_folders_that_are_no_downloads(self, downloads: Downloads, tmp_path: Path) -> None:
        assert "both hold files of whs" in refusal([downloads.whs, downloads.whs])
        assert "files of 4 tasks" in refusal([tmp_path / "downloads"])
