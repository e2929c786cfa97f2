"""Where the mask of each file of a download goes, and which values it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_prompt.challenge.upload_forms import FORMS, MaskForm, find_entries
from nnunet_prompt.cli.arguments import UPLOADS
from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.care_labels import table_for
from nnunet_prompt.data.structures import Structure, StructureTable
from tests.helpers.each import each

pytestmark = pytest.mark.slow


def download(folder: Path, *files: str) -> Path:
    """Empty files: nothing is read before it is predicted."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


def placed(form: str, source: Path) -> dict[str, str]:
    """The image of each member, relative to the source."""
    entries, _ = find_entries(FORMS[form], source, besides=source / "out")
    return {e.member: e.image.relative_to(source).as_posix() for e in entries}


def mask_of(form: str, source: Path) -> MaskForm:
    entries, _ = find_entries(FORMS[form], source, besides=source / "out")
    (entry,) = entries
    return entry.mask


def refused(form: str, source: Path) -> str:
    with pytest.raises(DatasetError) as error:
        placed(form, source)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_command_line_knows_these_forms() -> None:
    assert tuple(FORMS) == UPLOADS


class TestWholeHeart:
    def test_the_validation_download_of_2026(self, tmp_path: Path) -> None:
        names = ("ct_val/CaseCTVal001", "ct_val/CaseCTVal002", "mr_val/CaseMRVal001")
        root = "Wholeheart_Val_Dataset"
        download(tmp_path, *(f"{root}/{n}_image.nii.gz" for n in names))
        assert placed("wholeheart", tmp_path) == {
            f"{n}_pred.nii.gz": f"{root}/{n}_image.nii.gz" for n in names
        }

    @each(
        ("file", "member"),
        [
            ("mr_test/CaseMRTest012_image.nii", "mr_test/CaseMRTest012_pred.nii.gz"),
            ("flat/CaseCTVal001_image.NII.GZ", "ct_val/CaseCTVal001_pred.nii.gz"),
            ("B ct_val/Case2031_image.nii.gz", "ct_val/Case2031_pred.nii.gz"),
            ("val/Case3021_image.nii.gz", "mr_val/Case3021_pred.nii.gz"),
            ("ct_test/ct_test_2001_image.nii.gz", "ct_test/ct_test_2001_pred.nii.gz"),
            ("train_and_val/ct_val/Case1021_image.nii.gz", "ct_val/Case1021_pred.nii.gz"),
            ("train_and_test/Case1021_image.nii.gz", "ct_test/Case1021_pred.nii.gz"),
        ],
    )
    def test_other_folder_levels(self, tmp_path: Path, file: str, member: str) -> None:
        assert placed("wholeheart", download(tmp_path, file)) == {member: file}

    def test_the_name_of_the_given_folder_counts(self, tmp_path: Path) -> None:
        source = download(tmp_path / "mr_val", "heart_7_image.nii.gz")
        assert list(placed("wholeheart", source)) == ["mr_val/heart_7_pred.nii.gz"]

    def test_labels_training_cases_and_hidden_files_are_left_out(self, tmp_path: Path) -> None:
        download(
            tmp_path,
            "ct_val/CaseCTVal001_image.nii.gz",
            "ct_val/CaseCTVal001_label.nii.gz",
            "A ct_train/Case1001_image.nii.gz",
            "__MACOSX/ct_val/._CaseCTVal001_image.nii.gz",
        )
        entries, left_out = find_entries(FORMS["wholeheart"], tmp_path, besides=tmp_path / "out")
        assert [e.member for e in entries] == ["ct_val/CaseCTVal001_pred.nii.gz"]
        assert [p.name for p in left_out] == [
            "Case1001_image.nii.gz",
            "CaseCTVal001_label.nii.gz",
        ]

    def test_our_own_output_in_the_download_is_not_seen(self, tmp_path: Path) -> None:
        download(tmp_path, "ct_val/CaseCTVal001_image.nii.gz", "out/ct_val/Case_pred.nii.gz")
        assert len(placed("wholeheart", tmp_path)) == 1

    @each(
        ("file", "message"),
        [
            ("ct_val/CaseCTVal001.nii.gz", "expected a name that ends in _image"),
            ("val/heart_image.nii.gz", "no name states CT or MR"),
            ("hearts/Case1001_image.nii.gz", "no folder name states val or test"),
            ("mr_val/Case1001_image.nii.gz", "the folder states MR, the number of the case CT"),
        ],
    )
    def test_what_nobody_documented_is_refused(
        self, tmp_path: Path, file: str, message: str
    ) -> None:
        found = refused("wholeheart", download(tmp_path / "x", file))
        assert message in found and Path(file).name in found

    def test_two_images_of_one_place_are_refused(self, tmp_path: Path) -> None:
        files = ("a/ct_val/CaseCTVal001_image.nii.gz", "b/ct_val/CaseCTVal001_image.nii.gz")
        found = refused("wholeheart", download(tmp_path, *files))
        assert all(Path(f).as_posix() in found for f in files) and "-i" in found

    def test_the_seven_official_values(self, tmp_path: Path) -> None:
        mask = mask_of("wholeheart", download(tmp_path, "ct_val/CaseCTVal001_image.nii.gz"))
        assert mask.values == {
            "lv": 500,
            "rv": 600,
            "la": 420,
            "ra": 550,
            "myocardium": 205,
            "aorta": 820,
            "pulmonary_artery": 850,
        }
        assert mask.rivals == ()


class TestLeftAtrium:
    @each(
        ("file", "member"),
        [
            ("task2_val/val_1/enhanced.nii.gz", "LA cavity segmentation/val_1/1_pred.nii.gz"),
            ("task1_val/val_07/enhanced.nii.gz", "LA scar quantification/val_07/07_pred.nii.gz"),
            (
                "LA cavity segmentation（MRI）/val_data/val_12/enhanced.nii.gz",
                "LA cavity segmentation/val_12/12_pred.nii.gz",
            ),
            (
                "LA scar quantification（MRI）/val_data/val_3/enhanced.nii.gz",
                "LA scar quantification/val_3/3_pred.nii.gz",
            ),
            (
                "LA-Test-Dataset/task2/test_01/enhanced.nii.gz",
                "LA cavity segmentation/test_01/01_pred.nii.gz",
            ),
            ("task1_val/4/enhanced.nii", "LA scar quantification/val_4/4_pred.nii.gz"),
        ],
    )
    def test_all_years(self, tmp_path: Path, file: str, member: str) -> None:
        assert placed("leftatrium", download(tmp_path, file)) == {member: file}

    def test_both_tasks_count_from_one(self, tmp_path: Path) -> None:
        files = ("task1_val/val_1/enhanced.nii.gz", "task2_val/val_1/enhanced.nii.gz")
        assert placed("leftatrium", download(tmp_path, *files)) == {
            "LA cavity segmentation/val_1/1_pred.nii.gz": files[1],
            "LA scar quantification/val_1/1_pred.nii.gz": files[0],
        }

    def test_the_cavity_is_one_value_and_so_is_the_scar(self, tmp_path: Path) -> None:
        cavity = mask_of("leftatrium", download(tmp_path / "a", "task2/val_1/enhanced.nii.gz"))
        scar = mask_of("leftatrium", download(tmp_path / "b", "task1/val_1/enhanced.nii.gz"))
        assert (cavity.values, scar.values) == ({"la": 1}, {"la_scar": 1})

    def test_masks_training_and_ct_cases_are_left_out(self, tmp_path: Path) -> None:
        download(
            tmp_path,
            "task2_val/val_1/enhanced.nii.gz",
            "task2_val/val_1/atriumSegImgMO.nii.gz",
            "task1_val/val_1/scarSegImgM.nii.gz",
            "task2/train_data/train_1/enhanced.nii.gz",
            "cardiac anatomy segmentation（CT）/val_data/val_1/0001.nii.gz",
            "task3/test_01/0001.nii.gz",
        )
        assert list(placed("leftatrium", tmp_path)) == [
            "LA cavity segmentation/val_1/1_pred.nii.gz"
        ]

    @each(
        ("file", "message"),
        [
            ("task1_val/val_1/lge.nii.gz", "expected the image enhanced.nii.gz"),
            ("task1_val/first/enhanced.nii.gz", "expected val_<number>"),
            ("atria_val/val_1/enhanced.nii.gz", "no folder name states scar or cavity"),
            ("task2/17/enhanced.nii.gz", "no folder name states val or test"),
        ],
    )
    def test_what_nobody_documented_is_refused(
        self, tmp_path: Path, file: str, message: str
    ) -> None:
        assert message in refused("leftatrium", download(tmp_path / "x", file))


class TestPathology:
    @each(
        ("file", "member"),
        [
            (
                "MyoPS_val/AnonymousCenter/Case1001/Case1001_LGE.nii.gz",
                "MyoPS/Anonymous Center/Case1001/Case1001_pred.nii.gz",
            ),
            (
                "Anonymous Centre/Case1001_LGE.nii.gz",
                "MyoPS/Anonymous Center/Case1001/Case1001_pred.nii.gz",
            ),
            ("Case2/Case2_LGE.nii.gz", "MyoPS/Anonymous Center/Case2/Case2_pred.nii.gz"),
            ("val/Center 2/Case9/Case9_LGE.nii", "MyoPS/Center 2/Case9/Case9_pred.nii.gz"),
            (
                "AnonymousCenter1/Case9/Case9_LGE.nii.gz",
                "MyoPS/AnonymousCenter1/Case9/Case9_pred.nii.gz",
            ),
            (
                "multicenter_val/Case9/Case9_LGE.nii.gz",
                "MyoPS/Anonymous Center/Case9/Case9_pred.nii.gz",
            ),
            (
                "test20/myops_test_201_DE.nii.gz",
                "MyoPS/Anonymous Center/myops_test_201/myops_test_201_pred.nii.gz",
            ),
        ],
    )
    def test_all_years(self, tmp_path: Path, file: str, member: str) -> None:
        assert placed("pathology", download(tmp_path, file)) == {member: file}

    def test_one_case_in_two_centres_is_two_cases(self, tmp_path: Path) -> None:
        files = ("Center1/Case1/Case1_LGE.nii.gz", "Center2/Case1/Case1_LGE.nii.gz")
        assert list(placed("pathology", download(tmp_path, *files))) == [
            "MyoPS/Center1/Case1/Case1_pred.nii.gz",
            "MyoPS/Center2/Case1/Case1_pred.nii.gz",
        ]

    def test_other_sequences_labels_and_training_cases_are_left_out(self, tmp_path: Path) -> None:
        names = [f"AnonymousCenter/Case1/Case1_{s}.nii.gz" for s in ("LGE", "C0", "T2", "gd")]
        download(tmp_path, *names, "Myo_train/CenterA/Case1001/Case1001_LGE.nii.gz")
        entries, left_out = find_entries(FORMS["pathology"], tmp_path, besides=tmp_path / "out")
        assert [e.image.name for e in entries] == ["Case1_LGE.nii.gz"]
        assert len(left_out) == 4

    def test_the_aligned_and_the_unaligned_copy_are_refused(self, tmp_path: Path) -> None:
        files = [f"{c}/AnonymousCenter/Case1/Case1_LGE.nii.gz" for c in ("aligned", "unaligned")]
        assert "one copy of the download" in refused("pathology", download(tmp_path, *files))

    def test_another_name_is_refused(self, tmp_path: Path) -> None:
        source = download(tmp_path, "Center/Case1/Case1_image.nii.gz")
        assert "expected a name that ends in _LGE" in refused("pathology", source)

    def test_edema_is_not_written_and_the_right_ventricle_is_a_rival(self, tmp_path: Path) -> None:
        mask = mask_of("pathology", download(tmp_path, "Case1_LGE.nii.gz"))
        assert mask.values == {"myocardium": 200, "lv": 500, "scar": 2221}
        assert mask.rivals == ("rv",)


class TestNothing:
    def test_no_folder_and_no_file(self, tmp_path: Path) -> None:
        assert "no such folder" in refused("pathology", tmp_path / "none")
        assert "unpack the download" in refused("pathology", tmp_path)

    def test_training_cases_alone(self, tmp_path: Path) -> None:
        source = download(tmp_path, "Myo_train/CenterA/Case1001/Case1001_LGE.nii.gz")
        found = refused("pathology", source)
        assert "expected AnonymousCenter/Case1001" in found and "1 other" in found


class TestAsk:
    FORM = MaskForm("some", {"lv": 500, "myocardium": 200}, rivals=("rv",))

    def test_the_form_decides_the_values_and_not_the_model(self) -> None:
        unified, myops = table_for("unified"), table_for("myops")
        names = ("lv", "myocardium", "rv")
        assert self.FORM.ask(unified) == (names, {500: 500, 205: 200, 600: 0})
        assert self.FORM.ask(myops) == (names, {500: 500, 200: 200, 600: 0})

    def test_a_rival_that_the_model_does_not_know_is_no_rival(self) -> None:
        table = StructureTable(
            (Structure("lv", 1, (1,), 7), Structure("myocardium", 2, (2,), 8)),
        )
        assert self.FORM.ask(table) == (("lv", "myocardium"), {7: 500, 8: 200})

    def test_a_structure_that_the_model_lacks(self) -> None:
        with pytest.raises(DatasetError, match=r"some: the model has no structure 'lv'.*liver"):
            self.FORM.ask(table_for("liqa"))

    def test_two_structures_of_one_value_cannot_be_told_apart(self) -> None:
        table = StructureTable(
            (Structure("lv", 1, (1,), 7), Structure("myocardium", 2, (1, 2), 7)),
        )
        with pytest.raises(DatasetError, match=r"value 7 stands for 'myocardium' and for another"):
            self.FORM.ask(table)

    @each("name", sorted(FORMS))
    def test_the_unified_model_knows_every_structure(self, name: str) -> None:
        form = FORMS[name]
        folders = {"leftatrium": ("val_1", "task1"), "wholeheart": ("ct_val",), "pathology": ("x",)}
        stems = {"leftatrium": "enhanced", "wholeheart": "Case1_image", "pathology": "Case1_LGE"}
        found = form.place(stems[name], folders[name])
        assert found is not None
        names, values = found[1].ask(table_for("unified"))
        assert len(names) == len(values)
