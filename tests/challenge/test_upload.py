"""A download becomes masks on the grids of its images, and a zip once every case has one."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.challenge.upload import Upload, predict_upload, write_masks
from nnunet_prompt.challenge.upload_forms import FORMS, Entry, MaskForm, find_entries
from nnunet_prompt.cli import main as cli
from nnunet_prompt.common.errors import DatasetError, NNUNetPromptError, OutputError
from nnunet_prompt.data.care_labels import label_ids, table_for
from nnunet_prompt.data.structures import Structure
from nnunet_prompt.inference.merge import decode_structures
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.io.nifti import NiftiVolume
from tests.helpers.each import each
from tests.helpers.headers import contradict
from tests.helpers.models import hand_made_dataset_json, write_model_folder
from tests.helpers.predictors import ORIENTATIONS, TABLE, predictor, stored

pytestmark = pytest.mark.slow  # a whole product

ATOM = label_ids("unified")
ODD = np.array([[0, 0, 8, 3], [-1.25, 0.1, 0, 4], [0, -1.5, 0, 5], [0, 0, 0, 1.0]])


class Reads:
    """Its images hold the labels of the unified data set, and it recognises each structure by its atoms."""

    n_image_channels = 1

    def __init__(self, task: str = "unified", broken: Sequence[str] = ()) -> None:
        self.table = table_for(task)
        self.broken = broken
        self.seen: list[str] = []

    def predict_structures(
        self, images: Sequence[NiftiVolume], wanted: Sequence[str] = ()
    ) -> npt.NDArray[np.int32]:
        (volume,) = images
        self.seen.append(volume.path.name)
        if volume.path.name in self.broken:
            raise MemoryError("no\nroom")
        logits = np.stack(
            [np.where(np.isin(volume.array, s.members), 5.0, -5.0) for s in self.table.structures]
        )
        return decode_structures(logits, self.table, wanted)

    def predict_prompts(self, images: Any, prompts: Any) -> Any:
        raise AssertionError("an upload has no prompts")


def image(path: Path, *atoms: str, shape: tuple[int, ...] = (5, 3, 2)) -> Path:
    """Background and then these atoms, each a few voxels, on an odd grid."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros(shape, np.float32)
    array.flat[1 : 1 + 2 * len(atoms)] = np.repeat([ATOM[a] for a in atoms], 2)
    nib.save(nib.Nifti1Image(array, ODD), path)
    return path


def values(path: Path) -> list[int]:
    """The value of each atom that `image` drew, in order."""
    voxels = np.asarray(nib.load(path).dataobj).ravel()
    return [int(v) for v in voxels[1::2]]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Instead of a model folder."""
    made = Reads()
    monkeypatch.setattr(PromptPredictor, "from_folder", lambda *_: made)
    return made


def hearts(folder: Path, n: int = 2) -> Path:
    for i in range(1, n + 1):
        image(folder / "ct_val" / f"CaseCTVal{i:03d}_image.nii.gz", "lv", "myocardium_unspecified")
    return folder


def run(source: Path, output: Path, form: str = "wholeheart", team: str = "We") -> Upload:
    return predict_upload(source, output, form=form, model=Path("model"), team=team)


class TestValues:
    def test_whole_heart(self, tmp_path: Path, reads: Reads) -> None:
        atoms = ("lv", "rv", "la_cavity", "ra", "myocardium_unspecified", "aorta")
        path = tmp_path / "in" / "mr_val" / "CaseMRVal001_image.nii.gz"
        image(path, *atoms, "pulmonary_artery", "la_scar_in_cavity", "scar", "liver")
        run(tmp_path / "in", tmp_path)
        found = values(tmp_path / "CARE-Wholeheart-We" / "mr_val" / "CaseMRVal001_pred.nii.gz")
        # scar in the cavity is atrium, scar of the muscle is muscle, and a liver is nothing here
        assert found[:10] == [500, 600, 420, 550, 205, 820, 850, 420, 205, 0]

    def test_pathology_is_not_the_values_of_the_unified_model(
        self, tmp_path: Path, reads: Reads
    ) -> None:
        atoms = ("lv", "rv", "myocardium_unspecified", "myocardium_healthy", "edema", "scar")
        image(tmp_path / "in" / "AnonymousCenter" / "Case1" / "Case1_LGE.nii.gz", *atoms, "ra")
        run(tmp_path / "in", tmp_path, "pathology")
        folder = tmp_path / "CARE-Myocardium-We" / "MyoPS" / "Anonymous Center" / "Case1"
        assert values(folder / "Case1_pred.nii.gz")[:7] == [500, 0, 200, 200, 200, 2221, 0]

    def test_left_atrium(self, tmp_path: Path, reads: Reads) -> None:
        atoms = ("la_cavity", "la_scar_in_cavity", "la_scar_outside", "lv")
        for task in ("task1_val", "task2_val"):
            image(tmp_path / "in" / task / "val_3" / "enhanced.nii.gz", *atoms)
        run(tmp_path / "in", tmp_path, "leftatrium")
        root = tmp_path / "CARE-Leftatrium-We"
        cavity = values(root / "LA cavity segmentation" / "val_3" / "3_pred.nii.gz")
        scar = values(root / "LA scar quantification" / "val_3" / "3_pred.nii.gz")
        assert (cavity[:4], scar[:4]) == ([1, 1, 0, 0], [0, 1, 1, 0])

    def test_a_rival_takes_its_voxels_and_is_not_written(self, tmp_path: Path) -> None:
        class Torn(Reads):
            """Sees both ventricles everywhere, and the right one more clearly."""

            def predict_structures(
                self, images: Sequence[NiftiVolume], wanted: Sequence[str] = ()
            ) -> npt.NDArray[np.int32]:
                logits = np.full((len(self.table.structures), *images[0].shape), -5.0)
                for name, logit in (("lv", 1.0), ("rv", 2.0)):
                    logits[self.table.find(name).label - 1] = logit
                return decode_structures(logits, self.table, wanted)

        entry = Entry(image(tmp_path / "a.nii.gz"), "a.nii.gz", MaskForm("m", {"lv": 500}, ("rv",)))
        write_masks(Torn(), [entry], root=tmp_path / "out")
        assert not any(values(tmp_path / "out" / "a.nii.gz"))
        entry = replace(entry, member="b.nii.gz", mask=MaskForm("m", {"lv": 500}))
        write_masks(Torn(), [entry], root=tmp_path / "out")
        assert set(values(tmp_path / "out" / "b.nii.gz")) == {500}

    def test_a_structure_that_was_not_found_is_told(
        self, tmp_path: Path, reads: Reads, caplog: pytest.LogCaptureFixture
    ) -> None:
        image(tmp_path / "in" / "Case1" / "Case1_LGE.nii.gz", "lv", "myocardium_healthy")
        made = run(tmp_path / "in", tmp_path, "pathology")
        said = caplog.text
        assert "Case1_pred.nii.gz: no voxel of scar (2221)" in said and "no voxel of lv" not in said
        assert "without scar were refused" in made.notes[0]


class TestGrid:
    @each("shape", [(5, 3, 2), (5, 3, 2, 1), (5, 3, 1), (5, 3)])
    def test_the_header_and_the_axes_of_the_file(
        self, tmp_path: Path, reads: Reads, shape: tuple[int, ...]
    ) -> None:
        path = tmp_path / "in" / "ct_val" / "CaseCTVal001_image.nii.gz"
        image(path, "lv", shape=shape)
        source = nib.load(path)
        source.header.set_xyzt_units("mm", "sec")
        source.set_sform(ODD, 2)
        source.set_qform(ODD, 1)
        nib.save(nib.Nifti1Image(np.asarray(source.dataobj), None, source.header), path)
        run(tmp_path / "in", tmp_path)
        before = nib.load(path)
        after = nib.load(tmp_path / "CARE-Wholeheart-We" / "ct_val" / "CaseCTVal001_pred.nii.gz")
        assert after.shape == shape
        assert np.array_equal(after.affine, before.affine)
        for name in ("pixdim", "sform_code", "qform_code", "xyzt_units", "quatern_b"):
            assert np.array_equal(after.header[name], before.header[name])
        expected = np.where(np.asarray(before.dataobj) == ATOM["lv"], 500, 0)
        assert np.array_equal(np.asarray(after.dataobj), expected)

    def test_a_header_that_contradicts_itself(
        self, tmp_path: Path, reads: Reads, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = tmp_path / "in" / "ct_val" / "CaseCTVal001_image.nii.gz"
        contradict(image(path, "lv"))
        run(tmp_path / "in", tmp_path)
        assert f"{path}: the header contradicts itself" in caplog.text
        mask = tmp_path / "CARE-Wholeheart-We" / "ct_val" / "CaseCTVal001_pred.nii.gz"
        for name in ("pixdim", "srow_x", "srow_y", "srow_z", "sform_code", "qform_code"):
            assert np.array_equal(nib.load(mask).header[name], nib.load(path).header[name])

    @each(("axes", "signs"), ORIENTATIONS)
    def test_any_orientation_through_the_real_predictor(
        self, tmp_path: Path, axes: tuple[str, ...], signs: tuple[int, ...]
    ) -> None:
        volume = stored(axes, signs)
        mask = self.through(tmp_path, volume, "myocardium")
        bright = volume.array > volume.array[volume.array > 0].mean()
        assert np.array_equal(mask, 200 * bright)

    def test_one_slice_through_the_real_predictor(self, tmp_path: Path) -> None:
        whole = stored()
        one = replace(whole, array=whole.array[:, :, 3:4], file_shape=(15, 17, 1))
        mask = self.through(tmp_path, one, "myocardium")
        bright = one.array > one.array[one.array > 0].mean()
        assert mask.shape == (15, 17, 1) and np.array_equal(mask, 200 * bright)

    def through(self, folder: Path, volume: NiftiVolume, name: str) -> npt.NDArray[Any]:
        """The mask of the pathology's values in which one structure alone is asked for."""
        path = folder / "Case1_LGE.nii.gz"
        nib.save(nib.Nifti1Image(volume.array, volume.affine), path)
        cavity, wall, scar = TABLE.structures
        table = replace(
            TABLE,
            structures=(
                replace(cavity, name="lv"),
                replace(wall, name=name, official=205),
                replace(scar, name="scar"),
            ),
            orientation="canonical",
        )
        loaded = predictor(table=table, dataset_json=hand_made_dataset_json(table))
        entry = Entry(path, "mask.nii.gz", MaskForm("m", {name: 200}))
        assert write_masks(loaded, [entry], root=folder / "out") == (1, 0)
        return np.asarray(nib.load(folder / "out" / "mask.nii.gz").dataobj)


class TestZip:
    def test_it_holds_the_tree_without_a_top_folder(self, tmp_path: Path, reads: Reads) -> None:
        made = run(hearts(tmp_path / "in"), tmp_path / "out")
        assert made.zip_file == tmp_path / "out" / "CARE-Wholeheart-We.zip"
        with zipfile.ZipFile(made.zip_file) as archive:
            names = archive.namelist()
            for name in names:
                on_disk = tmp_path / "out" / "CARE-Wholeheart-We" / name
                assert archive.read(name) == on_disk.read_bytes()
        assert names == ["ct_val/CaseCTVal001_pred.nii.gz", "ct_val/CaseCTVal002_pred.nii.gz"]
        assert (made.written, made.kept) == (2, 0)
        assert not list(tmp_path.rglob(".partial*"))

    def test_equal_masks_make_equal_bytes(self, tmp_path: Path, reads: Reads) -> None:
        source = hearts(tmp_path / "in")
        one, two = (run(source, tmp_path / name).zip_file.read_bytes() for name in ("a", "b"))
        assert one == two

    def test_names_with_blanks(self, tmp_path: Path, reads: Reads) -> None:
        image(tmp_path / "in" / "task1_val" / "val_1" / "enhanced.nii.gz", "la_scar_outside")
        made = run(tmp_path / "in", tmp_path, "leftatrium", team="Heart and Co.9")
        assert made.zip_file.name == "CARE-Leftatrium-Heart and Co.9.zip"
        with zipfile.ZipFile(made.zip_file) as archive:
            assert archive.namelist() == ["LA scar quantification/val_1/1_pred.nii.gz"]

    def test_only_this_download_is_in_it(self, tmp_path: Path, reads: Reads) -> None:
        run(hearts(tmp_path / "in"), tmp_path)
        made = run(hearts(tmp_path / "less", 1), tmp_path)
        with zipfile.ZipFile(made.zip_file) as archive:
            assert archive.namelist() == ["ct_val/CaseCTVal001_pred.nii.gz"]


class TestRun:
    def test_a_stopped_run_continues(self, tmp_path: Path, reads: Reads) -> None:
        source = hearts(tmp_path / "in")
        made = run(source, tmp_path)
        first = tmp_path / "CARE-Wholeheart-We" / "ct_val" / "CaseCTVal001_pred.nii.gz"
        before = made.zip_file.read_bytes()
        first.unlink()
        reads.seen.clear()
        again = run(source, tmp_path)
        assert (again.written, again.kept) == (1, 1)
        assert reads.seen == ["CaseCTVal001_image.nii.gz"]
        assert any("kept 1 existing mask(s)" in note for note in again.notes)
        assert again.zip_file.read_bytes() == before

    def test_a_case_that_fails_costs_the_zip_but_no_other_case(
        self, tmp_path: Path, reads: Reads, caplog: pytest.LogCaptureFixture
    ) -> None:
        source = hearts(tmp_path / "in", 3)
        zip_file = tmp_path / "CARE-Wholeheart-We.zip"
        zip_file.write_bytes(b"an earlier one")
        (source / "ct_val" / "CaseCTVal001_image.nii.gz").write_bytes(b"nothing")
        reads.broken = ["CaseCTVal002_image.nii.gz"]
        with pytest.raises(NNUNetPromptError, match=r"2 of 3 cases have no mask.*no zip") as error:
            run(source, tmp_path)
        assert "\n" not in str(error.value)
        folder = tmp_path / "CARE-Wholeheart-We" / "ct_val"
        assert [p.name for p in folder.iterdir()] == ["CaseCTVal003_pred.nii.gz"]
        assert not zip_file.exists()
        said = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
        assert len(said) == 2 and "MemoryError: no" in said[1]

    def test_ctrl_c_stops_and_leaves_no_half_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Stopped(Reads):
            def predict_structures(self, images: Any, wanted: Any = ()) -> Any:
                raise KeyboardInterrupt

        monkeypatch.setattr(PromptPredictor, "from_folder", lambda *_: Stopped())
        with pytest.raises(KeyboardInterrupt):
            run(hearts(tmp_path / "in"), tmp_path / "out")
        assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]

    def test_voxels_that_are_not_finite_are_told(
        self, tmp_path: Path, reads: Reads, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = tmp_path / "in" / "ct_val" / "CaseCTVal001_image.nii.gz"
        path.parent.mkdir(parents=True)
        nib.save(nib.Nifti1Image(np.full((2, 2, 2), np.nan, np.float32), ODD), path)
        run(tmp_path / "in", tmp_path)
        assert "8 voxels are not finite and taken as 0" in caplog.text

    def test_notes_name_what_is_unsure_and_what_was_left_out(
        self, tmp_path: Path, reads: Reads
    ) -> None:
        source = hearts(tmp_path / "in", 1)
        image(source / "ct_val" / "CaseCTVal001_label.nii.gz")
        made = predict_upload(source, tmp_path, form="wholeheart", model=Path("m"))
        tree, left_out, team = made.notes
        assert "2025 is not published" in tree
        assert "left out 1 file(s)" in left_out and "CaseCTVal001_label" in left_out
        assert "CARE-Wholeheart-TeamName.zip" in team and "--team" in team


class TestRefusals:
    def test_a_model_without_a_structure_of_the_form(self, tmp_path: Path, reads: Reads) -> None:
        reads.table = table_for("whs")
        image(tmp_path / "in" / "Case1" / "Case1_LGE.nii.gz")
        with pytest.raises(DatasetError, match=r"pathology: the model has no structure 'scar'"):
            run(tmp_path / "in", tmp_path, "pathology")
        assert reads.seen == []

    def test_a_cavity_needs_no_scar(self, tmp_path: Path, reads: Reads) -> None:
        reads.table = table_for("whs")
        image(tmp_path / "in" / "task2_val" / "val_1" / "enhanced.nii.gz")
        assert run(tmp_path / "in", tmp_path, "leftatrium").written == 1

    def test_a_model_of_several_channels(self, tmp_path: Path) -> None:
        class Stacked(Reads):
            n_image_channels = 3

        entry = Entry(image(tmp_path / "a.nii.gz"), "a.nii.gz", MaskForm("m", {"lv": 500}))
        with pytest.raises(NNUNetPromptError, match=r"takes 3 image channels, expected 1"):
            write_masks(Stacked(), [entry], root=tmp_path)

    @each("team", ["", "a/b", "..", "a\\b", "a\nb", "x ", ".x"])
    def test_a_team_that_is_no_file_name(self, tmp_path: Path, team: str) -> None:
        with pytest.raises(NNUNetPromptError, match="expected letters"):
            run(hearts(tmp_path), tmp_path, team=team)

    def test_an_unknown_form(self, tmp_path: Path) -> None:
        with pytest.raises(
            NNUNetPromptError, match=r"'liver': expected one of leftatrium, wholeheart"
        ):
            run(tmp_path, tmp_path, "liver")

    def test_an_output_that_cannot_be_a_folder(self, tmp_path: Path, reads: Reads) -> None:
        source = hearts(tmp_path / "in")
        with pytest.raises(NNUNetPromptError, match="cannot be made"):
            run(source, source / "ct_val" / "CaseCTVal001_image.nii.gz")


@pytest.mark.slow
@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_real_model_of_the_unified_structures(tmp_path: Path, form: str) -> None:
    names = {
        "leftatrium": ("task1_val/val_1/enhanced.nii.gz", "task2_val/val_1/enhanced.nii.gz"),
        "wholeheart": ("ct_val/CaseCTVal001_image.nii.gz", "mr_val/CaseMRVal001_image.nii"),
        "pathology": ("AnonymousCenter/Case1/Case1_LGE.nii.gz", "Center2/Case1_LGE.nii.gz"),
    }
    rng = np.random.default_rng(0)
    for name, shape in zip(names[form], ((9, 11, 6, 1), (9, 11, 1)), strict=True):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(rng.normal(size=shape).astype(np.float32), ODD), path)
    model = write_model_folder(tmp_path / "model", table=table_for("unified"))
    options = PredictOptions(device="cpu")
    made = predict_upload(tmp_path / "in", tmp_path, form=form, model=model, options=options)
    assert made.written == 2
    entries, _ = find_entries(FORMS[form], tmp_path / "in", besides=tmp_path / "out")
    for entry in entries:
        written = nib.load(made.zip_file.with_suffix("") / entry.member)
        source = nib.load(entry.image)
        assert written.shape == source.shape and np.allclose(written.affine, source.affine)
        assert set(np.unique(np.asarray(written.dataobj))) <= {0, *entry.mask.values.values()}


def test_an_official_value_does_not_stand_in_for_a_name(tmp_path: Path) -> None:
    reads = Reads()
    reads.table = replace(TABLE, structures=(Structure("cavity", 1, (1,), 500),), priority=())
    entry = Entry(image(tmp_path / "a.nii.gz"), "a.nii.gz", MaskForm("m", {"lv": 500}))
    with pytest.raises(DatasetError, match=r"no structure 'lv', expected lv, found cavity"):
        write_masks(reads, [entry], root=tmp_path)


class TestCommandLine:
    def test_what_was_typed_and_what_is_printed(
        self, fake: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        made = Upload(Path("out/x.zip"), 2, 1, ("a note",))
        call = fake("nnunet_prompt.challenge.upload.predict_upload", made)
        line = "predict -i in -o out -m model --upload pathology --team We -device cpu"
        assert cli.main(line.split()) == 0
        call.assert_called_once_with(
            Path("in"),
            Path("out"),
            form="pathology",
            model=Path("model"),
            team="We",
            options=PredictOptions(device="cpu"),
        )
        assert capsys.readouterr().out == "note: a note\nwrote out/x.zip with 3 masks\n"

    def test_without_a_team(self, fake: Any) -> None:
        call = fake(
            "nnunet_prompt.challenge.upload.predict_upload", Upload(Path("x.zip"), 1, 0, ())
        )
        assert cli.main("predict -i in -o out -m model --upload leftatrium".split()) == 0
        assert call.call_args.kwargs["team"] == "TeamName"

    @each(
        ("more", "message"),
        [
            ("--team We", "give --upload, too"),
            ("--upload pathology --structures lv", "neither prompts nor"),
            ("--upload pathology -p prompts.json", "neither prompts nor"),
        ],
    )
    def test_what_does_not_go_together(
        self, more: str, message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(f"predict -i in -o out -m model {more}".split()) == 1
        assert message in capsys.readouterr().err

    def test_a_missing_case_is_exit_code_1(
        self, tmp_path: Path, reads: Reads, capsys: pytest.CaptureFixture[str]
    ) -> None:
        reads.broken = ["CaseCTVal001_image.nii.gz"]
        source = hearts(tmp_path / "in")
        argv = ["predict", "-i", str(source), "-o", str(tmp_path), "-m", "m"]
        assert cli.main([*argv, "--upload", "wholeheart", "--team", "We"]) == 1
        assert "1 of 2 cases have no mask" in capsys.readouterr().err.splitlines()[-1]

    def test_an_unknown_upload_is_misuse(self) -> None:
        with pytest.raises(SystemExit, match="2"):
            cli.main("predict -i in -o out -m model --upload liver".split())


class TestPlaces:
    @each("left", ["empty", "half", "other values"])
    def test_what_another_program_left_is_done_again(
        self, tmp_path: Path, reads: Reads, left: str
    ) -> None:
        source = hearts(tmp_path / "in", 1)
        run(source, tmp_path / "out")
        (path,) = (tmp_path / "out").rglob("*_pred.nii.gz")
        whole = path.read_bytes()
        if left == "other values":
            stored = nib.load(path)
            nib.save(nib.Nifti1Image(np.full(stored.shape, 7, np.uint8), stored.affine), path)
        else:
            path.write_bytes(whole[: 0 if left == "empty" else len(whole) // 2])
        made = run(source, tmp_path / "out")
        assert (made.written, made.kept) == (1, 0) and path.read_bytes() == whole
        assert run(source, tmp_path / "out").kept == 1

    def test_the_download_is_never_the_output(self, tmp_path: Path, reads: Reads) -> None:
        source = hearts(tmp_path / "in")
        (tmp_path / "link").symlink_to(source)
        before = sorted(source.rglob("*"))
        for output in (source, tmp_path / "link"):
            with pytest.raises(OutputError, match="is an input"):
                run(source, output)
        assert sorted(source.rglob("*")) == before
