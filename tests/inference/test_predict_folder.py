"""A folder of images becomes a folder of masks, each on the grid of its image; what fails is named at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
import torch

from nnunet_prompt.common.errors import (
    DatasetError,
    ImageError,
    ModelError,
    NNUNetPromptError,
    OutputError,
)
from nnunet_prompt.data.plans_reader import ImageReader
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.inference.object_logits import ObjectLogits
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predict_case import Asked, CaseToDo
from nnunet_prompt.inference.predict_folder import Predicted, predict_cases, predict_folder
from nnunet_prompt.inference.predictor import Answer, PromptPredictor
from nnunet_prompt.inference.run_options import RunOptions
from nnunet_prompt.io.image_cases import group_images, image_files
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.networks.tensor_names import stock_names
from nnunet_prompt.prompt_files.prompt_file import load_prompts
from nnunet_prompt.prompt_files.prompts_json_convention import ALL_OPEN, GivenConvention
from nnunet_prompt.prompts.types import CasePrompts
from tests.helpers.each import each
from tests.helpers.models import write_model_folder
from tests.helpers.predictors import idle_engine
from tests.prompt_files.inputs import save_pls

SHAPE = (4, 3, 2)
TABLE = StructureTable((Structure("cavity", 1, (1,), 500), Structure("wall", 2, (2,), 200)))


class Fake:
    """Answers with the number of cases it has seen, and remembers what it was asked."""

    n_image_channels = 1
    table = TABLE
    reader = ImageReader()

    def __init__(self, fail: Callable[[str], BaseException | None] = lambda name: None) -> None:
        self.fail = fail
        self.seen: list[str] = []
        self.wanted: tuple[str, ...] = ()
        self.prompts: list[CasePrompts] = []
        self.whole: list[bool] = []
        self.engine = idle_engine()

    def place(self, images: Sequence[NiftiVolume], *, whole: bool = False) -> NiftiVolume:
        self.whole.append(whole)
        return images[0]

    def answer_structures(
        self, case: NiftiVolume, wanted: Sequence[str] = ()
    ) -> npt.NDArray[np.int32]:
        self.wanted = tuple(wanted)
        return self._answer(case)

    def answer(self, case: NiftiVolume, prompts: CasePrompts) -> Answer:
        self.prompts.append(prompts)
        count = len(self.prompts)
        return Answer(self._answer(case), {500: count, 200: 1}, {500: count - 1, 200: 0})

    def object_logits(self, images: Sequence[NiftiVolume], prompts: CasePrompts) -> ObjectLogits:
        """LGE shows everything, the others nothing."""
        (volume,) = images
        self.seen.append(volume.path.name)
        sign = 1 if "LGE" in volume.path.name else -1
        logits = np.full((len(prompts.labels), *volume.shape), 9 * sign, np.float32)
        return ObjectLogits(tuple(prompts.labels), (0, 0, 0), logits, [(0, n) for n in SHAPE])

    def _answer(self, case: NiftiVolume) -> npt.NDArray[np.int32]:
        name = case.path.name
        error = self.fail(name)
        if error is not None:
            raise error
        self.seen.append(name)
        return np.full(case.shape, 500 + len(self.seen), np.int32)


def image(path: Path, shape: tuple[int, ...] = SHAPE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.array([[0, 1.5, 0, 3], [-1.25, 0, 0, 4], [0, 0, 8, 5], [0, 0, 0, 1.0]])
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def saved_mask(path: Path) -> Path:
    """An empty mask on the grid of `image`."""
    image(path)
    like = nib.load(path)
    nib.save(nib.Nifti1Image(np.zeros(like.shape, np.uint8), like.affine), path)
    return path


def cases(folder: Path, *names: str) -> list[CaseToDo]:
    """Cases of a folder whose masks belong beside it."""
    for name in names:
        image(folder / name)
    found = group_images(image_files(folder), keys=(), n_channels=1)
    return [CaseToDo(case, folder.parent / f"{case.case}.nii.gz") for case in found]


def prompts_file(path: Path, *names: str) -> Path:
    said = {name: {"500": {"points": [{"position": [1, 1, 1]}]}} for name in names}
    path.write_text(json.dumps({"format": "nnunet-prompt", "version": 1, "cases": said}))
    return path


def mask(path: Path) -> npt.NDArray[Any]:
    return np.asarray(nib.load(path).dataobj)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Instead of a model folder."""
    made = Fake()
    monkeypatch.setattr(PromptPredictor, "from_folder", lambda *_: made)
    return made


class TestPredictCases:
    def test_every_case_gets_a_mask_on_its_grid(self, tmp_path: Path) -> None:
        some = cases(tmp_path / "in", "a_0000.nii.gz", "b.nii.gz")
        fake = Fake()
        run = predict_cases(fake, some, Asked())
        assert run.failed == {} and run.done == {"a": None, "b": None}
        assert fake.whole == [True, True]
        for number, name in enumerate(("a", "b"), start=1):
            written = nib.load(tmp_path / f"{name}.nii.gz")
            source = nib.load(next((tmp_path / "in").glob(f"{name}*")))
            assert written.shape == SHAPE
            assert np.allclose(written.affine, source.affine)
            assert (mask(tmp_path / f"{name}.nii.gz") == 500 + number).all()

    def test_a_case_that_fails_does_not_cost_the_others(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        errors = {"b.nii.gz": ImageError("b is odd"), "c.nii.gz": MemoryError("no\nroom")}
        fake = Fake(errors.get)
        names = ("a.nii.gz", "b.nii.gz", "c.nii.gz", "d.nii.gz")
        run = predict_cases(fake, cases(tmp_path / "in", *names), Asked())
        assert run.failed == {
            "b": "b is odd",
            "c": "MemoryError: there is too little, tried as it is",
        }
        assert {p.name for p in tmp_path.glob("*.nii.gz")} == {"a.nii.gz", "d.nii.gz"}
        printed = caplog.text
        assert (
            "case b: b is odd" in printed and "case c: MemoryError: there is too little" in printed
        )

    def test_memory_that_one_tile_at_a_time_needs_is_there(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        errors: list[BaseException | None] = [RuntimeError("CUDA out of memory. Tried ...")]
        fake = Fake(lambda name: errors.pop() if errors else None)
        fake.engine = replace(fake.engine, max_batch=4)
        run = predict_cases(fake, cases(tmp_path / "in", "a.nii.gz"), Asked())
        assert run.done == {"a": None} and (mask(tmp_path / "a.nii.gz") > 0).all()
        assert "case a: there was too little memory; done with one tile at a time" in caplog.text

    def test_an_image_that_cannot_be_read(self, tmp_path: Path) -> None:
        some = cases(tmp_path / "in", "a.nii.gz", "b.nii.gz")
        (tmp_path / "in" / "a.nii.gz").write_bytes(b"nothing")
        run = predict_cases(Fake(), some, Asked())
        assert set(run.failed) == {"a"} and "a.nii.gz" in run.failed["a"]
        assert (tmp_path / "b.nii.gz").exists()

    def test_a_mask_that_cannot_be_written(self, tmp_path: Path) -> None:
        some = cases(tmp_path / "in", "a.nii.gz", "b.nii.gz")
        some[0].target.mkdir()
        run = predict_cases(Fake(), some, Asked())
        assert set(run.failed) == {"a"} and run.failed["a"].startswith("IsADirectoryError: ")
        assert (tmp_path / "b.nii.gz").is_file() and not list(tmp_path.glob(".*"))

    def test_voxels_that_are_not_finite_are_told(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        some = cases(tmp_path / "in", "a.nii.gz")
        nib.save(
            nib.Nifti1Image(np.full(SHAPE, np.nan, np.float32), np.eye(4)), some[0].images.first
        )
        predict_cases(Fake(), some, Asked())
        said = caplog.text
        assert "case a: " in said and "24 voxels are not finite and taken as 0" in said

    def test_a_stopped_run_is_stopped(self, tmp_path: Path) -> None:
        stop = {"b.nii.gz": KeyboardInterrupt()}
        some = cases(tmp_path / "in", "a.nii.gz", "b.nii.gz", "c.nii.gz")
        with pytest.raises(KeyboardInterrupt):
            predict_cases(Fake(stop.get), some, Asked())
        assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["a.nii.gz"]  # and no half


class TestPredictFolder:
    def test_structures_by_name(self, tmp_path: Path, fake: Fake) -> None:
        image(tmp_path / "in" / "a.nii.gz")
        out = tmp_path / "new" / "out"
        made = predict_folder(tmp_path / "in", out, model=tmp_path, structures=("wall", "500"))
        assert made == Predicted(1) and fake.wanted == ("wall", "500")
        assert [p.name for p in out.iterdir()] == ["a.nii.gz"]

    def test_an_unknown_structure_is_refused_before_anything_is_written(
        self, tmp_path: Path, fake: Fake
    ) -> None:
        image(tmp_path / "in" / "a.nii.gz")
        with pytest.raises(DatasetError, match="liver"):
            predict_folder(tmp_path / "in", tmp_path / "out", model=tmp_path, structures=("liver",))
        assert not fake.seen and not (tmp_path / "out").exists()

    def test_prompts_reach_their_case_and_a_case_without_any_fails(
        self, tmp_path: Path, fake: Fake
    ) -> None:
        for name in ("a", "b"):
            image(tmp_path / "in" / f"{name}.nii.gz")
        prompts = prompts_file(tmp_path / "prompts.json", "a")
        with pytest.raises(NNUNetPromptError, match=r"1 of 2 cases have no mask.*b"):
            predict_folder(tmp_path / "in", tmp_path / "out", model=tmp_path, prompts=prompts)
        (given,) = fake.prompts
        assert given.labels[500].points[0].position == (1, 1, 1)
        assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.nii.gz"]
        assert fake.whole == [False]

    def test_the_tiles_are_told_in_short_and_by_case(
        self, tmp_path: Path, fake: Fake, caplog: pytest.LogCaptureFixture
    ) -> None:
        for name in ("a", "b"):
            image(tmp_path / "in" / f"{name}.nii.gz")
        prompts = prompts_file(tmp_path / "prompts.json", "a", "b")
        for verbose in (False, True):
            options = RunOptions(verbose=verbose)
            predict_folder(
                tmp_path / "in", tmp_path, model=tmp_path, prompts=prompts, run_options=options
            )
            said = [x for x in caplog.messages if " tile" in x]
            caplog.clear()
            short = said.pop()
            fake.prompts.clear()
            assert short == (
                "ran 5 tiles for 4 labels in 2 cases"
                " (1 of them added where a mask touches the border of the first ones)"
            )
            each = ["case a: label 500: 1 tile; label 200: 1 tile"]
            each.append("case b: label 500: 2 tiles (1 of them added); label 200: 1 tile")
            assert said == each * verbose

    def test_masks_that_are_there_are_kept_if_so_wished(self, tmp_path: Path, fake: Fake) -> None:
        for name in ("a", "b"):
            image(tmp_path / "in" / f"{name}.nii.gz")
        out = tmp_path / "out"
        saved_mask(out / "a.nii.gz")
        before = (out / "a.nii.gz").read_bytes()

        def run(**options: Any) -> Predicted:
            return predict_folder(
                tmp_path / "in", out, model=tmp_path, run_options=RunOptions(**options)
            )

        assert run(overwrite=False) == Predicted(written=1, kept=1)
        assert fake.seen == ["b.nii.gz"] and (out / "a.nii.gz").read_bytes() == before
        assert run() == Predicted(written=2)
        assert fake.seen == ["b.nii.gz", "a.nii.gz", "b.nii.gz"]

    def test_parts_share_the_cases(self, tmp_path: Path, fake: Fake) -> None:
        for name in "abcde":
            image(tmp_path / "in" / f"{name}.nii.gz")
        seen = []
        for num_parts, part_id in ((3, 0), (3, 1), (3, 2), (6, 5)):
            options = RunOptions(num_parts=num_parts, part_id=part_id)
            fake.seen.clear()
            made = predict_folder(tmp_path / "in", tmp_path, model=tmp_path, run_options=options)
            assert made.written == len(fake.seen)
            seen.append([name[0] for name in fake.seen])
        assert seen == [["a", "d"], ["b", "e"], ["c"], []]

    def test_names_that_end_like_sequences_are_names(self, tmp_path: Path, fake: Fake) -> None:
        for name in ("sub-01_T2", "knee_C0", "knee_LGE"):
            image(tmp_path / "in" / f"{name}.nii.gz")
        out = tmp_path / "o"
        prompts = prompts_file(tmp_path / "p.json", "sub-01_T2", "knee_C0")
        with pytest.raises(
            NNUNetPromptError, match="1 of 3 cases have no mask; the first is knee_LGE"
        ):
            predict_folder(tmp_path / "in", out, model=tmp_path, prompts=prompts)
        assert {p.name for p in out.iterdir()} == {"sub-01_T2.nii.gz", "knee_C0.nii.gz"}

    def test_prompts_of_a_patient_are_not_those_of_its_sequences(
        self, tmp_path: Path, fake: Fake
    ) -> None:
        image(tmp_path / "in" / "a_LGE.nii.gz")
        prompts = prompts_file(tmp_path / "p.json", "a")
        with pytest.raises(
            NNUNetPromptError, match="`submit` takes the prompts of 'a' for all its seq"
        ):
            predict_folder(tmp_path / "in", tmp_path / "o", model=tmp_path, prompts=prompts)

    def test_a_folder_that_can_be_read_in_two_ways(self, tmp_path: Path, fake: Fake) -> None:
        names = ["vol_0000.nii.gz", "vol_0001.nii.gz"]
        for name in names:
            image(tmp_path / "in" / name)
        with pytest.raises(NNUNetPromptError, match="read in two ways"):
            predict_folder(tmp_path / "in", tmp_path / "o", model=tmp_path)
        assert not (tmp_path / "o").exists()
        options = RunOptions(whole_names=True)
        predict_folder(tmp_path / "in", tmp_path / "o", model=tmp_path, run_options=options)
        assert sorted(p.name for p in (tmp_path / "o").iterdir()) == names

    def test_a_decomposed_umlaut_is_the_same_case(self, tmp_path: Path, fake: Fake) -> None:
        image(tmp_path / "in" / "Mu\u0308ller.nii.gz")
        prompts = prompts_file(tmp_path / "p.json", "M\u00fcller")
        predict_folder(tmp_path / "in", tmp_path / "o", model=tmp_path, prompts=prompts)
        assert [p.name for p in (tmp_path / "o").iterdir()] == ["Mu\u0308ller.nii.gz"]

    @pytest.mark.parametrize("given", [ALL_OPEN, GivenConvention("xy")])
    def test_how_a_prompts_json_is_read_is_inferred_from_all_images_and_told(
        self, tmp_path: Path, fake: Fake, given: GivenConvention, caplog: pytest.LogCaptureFixture
    ) -> None:
        for name in ("a", "b"):  # PLS shape (6, 8, 3)
            save_pls(tmp_path / "in" / f"{name}.nii.gz", np.zeros((6, 8, 3)))
        wide = {str(k): {"5": [[7, 0, 8, 6], [[7, 1]]]} for k in range(3)}
        said = {"a": wide, "b": {"0": {"5": [[1, 2, 3, 5], []]}}}
        (tmp_path / "p.json").write_text(json.dumps(said))
        options = RunOptions(num_parts=2, part_id=1, convention=given)  # case b alone
        predict_folder(
            tmp_path / "in",
            tmp_path / "o",
            model=tmp_path,
            prompts=tmp_path / "p.json",
            run_options=options,
        )
        (box,) = fake.prompts[0].labels[5].boxes
        order = given.order or "yx"
        assert box.lower == ((2, 1, 0) if order == "yx" else (1, 2, 0))
        assert f"p.json: order {order}" in caplog.text

    def test_how_prompts_are_read_needs_prompts(self, tmp_path: Path) -> None:
        image(tmp_path / "in" / "a.nii.gz")
        options = RunOptions(convention=GivenConvention("yx"))
        with pytest.raises(NNUNetPromptError, match="give prompts with -p"):
            predict_folder(tmp_path / "in", tmp_path / "o", model=tmp_path, run_options=options)

    def test_prompts_may_be_loaded_already(self, tmp_path: Path, fake: Fake) -> None:
        image(tmp_path / "in" / "a.nii.gz")
        path = prompts_file(tmp_path / "p.json", "a")
        for prompts in (str(path), load_prompts(path)):
            predict_folder(tmp_path / "in", tmp_path / "o", model=tmp_path, prompts=prompts)
        assert len(fake.prompts) == 2
        given = RunOptions(axes="xyz")
        for wrong, options in ((load_prompts(path), given), ({"a": 1}, RunOptions())):
            with pytest.raises(NNUNetPromptError, match="prompts: "):
                predict_folder(
                    tmp_path / "in",
                    tmp_path / "o",
                    model=tmp_path,
                    prompts=wrong,  # type: ignore[arg-type]
                    run_options=options,
                )

    def test_files_of_other_tools_and_names_of_structures(
        self, tmp_path: Path, fake: Fake, caplog: pytest.LogCaptureFixture
    ) -> None:
        for name in ("a", "b"):
            image(tmp_path / "in" / f"{name}.nii.gz")
        (tmp_path / "p").mkdir()
        (tmp_path / "p" / "a_wall.csv").write_text("index,axis-0,axis-1,axis-2\n0,1,2,3\n")
        (tmp_path / "p" / "b_heart.csv").write_text("index,axis-0,axis-1,axis-2\n0,1,2,3\n")
        with pytest.raises(
            NNUNetPromptError, match="1 of 2 cases have no mask; the first is b: b_heart"
        ):
            predict_folder(tmp_path / "in", tmp_path / "o", model=tmp_path, prompts=tmp_path / "p")
        assert [p.name for p in (tmp_path / "o").iterdir()] == ["a.nii.gz"]
        assert fake.prompts[0].labels[200].points[0].position == (3, 2, 1)
        assert "cavity (500), wall (200); found 'heart'" in caplog.text

    def test_prompts_and_names_together_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(NNUNetPromptError, match="not both"):
            predict_folder(
                tmp_path, tmp_path, model=tmp_path, prompts=tmp_path / "p", structures=("wall",)
            )

    def test_no_folder_no_images_no_prompts_file_no_model(self, tmp_path: Path) -> None:
        with pytest.raises(NNUNetPromptError, match="no such folder"):
            predict_folder(tmp_path / "none", tmp_path, model=tmp_path)
        with pytest.raises(NNUNetPromptError, match=r"no .nii.gz"):
            predict_folder(tmp_path, tmp_path, model=tmp_path)
        image(tmp_path / "a.nii.gz")
        with pytest.raises(NNUNetPromptError, match=r"none.json"):
            predict_folder(tmp_path, tmp_path, model=tmp_path, prompts=tmp_path / "none.json")
        with pytest.raises(ModelError, match="not a model folder"):
            predict_folder(tmp_path, tmp_path, model=tmp_path)

    def test_an_output_that_cannot_be_a_folder(self, tmp_path: Path, fake: Fake) -> None:
        source = image(tmp_path / "in" / "a.nii.gz")
        with pytest.raises(NNUNetPromptError, match="cannot be made"):
            predict_folder(tmp_path / "in", source, model=tmp_path)

    @each("older", [False, True])
    def test_a_real_model_end_to_end(self, tmp_path: Path, older: bool) -> None:
        image(tmp_path / "in" / "a.nii.gz", (9, 11, 6))
        model = write_model_folder(tmp_path / "model", folds=(0, 1))
        for path in model.glob("fold_*/checkpoint_final.pth") if older else ():
            content = torch.load(path, weights_only=False)
            torch.save(content | {"network_weights": stock_names(content["network_weights"])}, path)
        options = PredictOptions(device="cpu")
        made = predict_folder(tmp_path / "in", tmp_path / "out", model=model, options=options)
        assert made.written == 1
        found = mask(tmp_path / "out" / "a.nii.gz")
        assert found.shape == (9, 11, 6)
        assert set(np.unique(found)) <= {0, 500, 200, 2221}


class TestPlaces:
    """Inputs are never written to, and what is kept of an earlier run is what this run would write."""

    def test_the_folder_of_the_images_however_it_is_named(self, tmp_path: Path, fake: Fake) -> None:
        model = write_model_folder(tmp_path / "model")
        source = image(tmp_path / "in" / "a.nii.gz")
        before = source.read_bytes()
        (tmp_path / "link").symlink_to(tmp_path / "in")
        for output in ("in", "link", "model/../in"):
            with pytest.raises(OutputError, match=r"is an input.*another place with -o"):
                predict_folder(tmp_path / "in", tmp_path / output, model=model)
        assert source.read_bytes() == before and not fake.seen

    @each("place", ["model", "model/fold_0"])
    def test_the_model(self, tmp_path: Path, fake: Fake, place: str) -> None:
        model = write_model_folder(tmp_path / "model")
        image(tmp_path / "in" / "a.nii.gz")
        with pytest.raises(OutputError, match="is an input"):
            predict_folder(tmp_path / "in", tmp_path / place, model=model)

    def test_a_mask_that_is_a_prompt(self, tmp_path: Path, fake: Fake) -> None:
        image(tmp_path / "in" / "a.nii.gz")
        rough = saved_mask(tmp_path / "prompts" / "a.nii.gz")
        path = tmp_path / "prompts" / "p.json"
        cases = {"a": {"500": {"mask": "a.nii.gz"}}}
        path.write_text(json.dumps({"format": "nnunet-prompt", "version": 1, "cases": cases}))
        before = rough.read_bytes()
        with pytest.raises(OutputError, match=r"a\.nii\.gz: is the input"):
            predict_folder(tmp_path / "in", rough.parent, model=tmp_path, prompts=path)
        assert rough.read_bytes() == before

    @each("left", ["empty", "half", "image", "shifted", "stranger"])
    def test_what_another_program_left_is_done_again(
        self, tmp_path: Path, fake: Fake, left: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = image(tmp_path / "in" / "a.nii.gz")
        target = saved_mask(tmp_path / "out" / "a.nii.gz")
        finished = nib.load(target)
        if left == "image":
            target.write_bytes(source.read_bytes())
        elif left == "shifted":
            nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.uint8), np.eye(4)), target)
        elif left == "stranger":
            nib.save(nib.Nifti1Image(np.full(SHAPE, 7, np.uint8), finished.affine), target)
        else:
            content = target.read_bytes()
            target.write_bytes(content[: 0 if left == "empty" else len(content) // 2])
        options = RunOptions(overwrite=False)
        monkeypatch.setattr(fake, "_answer", lambda case: np.full(case.shape, 500, np.int32))
        made = predict_folder(tmp_path / "in", target.parent, model=tmp_path, run_options=options)
        assert made == Predicted(written=1, kept=0)
        again = predict_folder(tmp_path / "in", target.parent, model=tmp_path, run_options=options)
        assert again == Predicted(written=0, kept=1)

    def test_labels_of_other_prompts_are_not_kept(
        self, tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fake, "_answer", lambda case: np.full(case.shape, 500, np.int32))
        image(tmp_path / "in" / "a.nii.gz")
        prompts = prompts_file(tmp_path / "prompts.json", "a")
        options = RunOptions(overwrite=False)
        for written in (1, 0):
            made = predict_folder(
                tmp_path / "in",
                tmp_path / "out",
                model=tmp_path,
                prompts=prompts,
                run_options=options,
            )
            assert made.written == written
        content = json.loads(prompts.read_text())
        content["cases"]["a"] = {"3": next(iter(content["cases"]["a"].values()))}
        prompts.write_text(json.dumps(content))
        made = predict_folder(
            tmp_path / "in", tmp_path / "out", model=tmp_path, prompts=prompts, run_options=options
        )
        assert made == Predicted(written=1)

    def test_the_longest_names(self, tmp_path: Path, fake: Fake) -> None:
        fine, too_long = f"{'x' * 248}.nii.gz", f"{'y' * 251}.nii"
        for name in (fine, too_long, "a.nii.gz"):
            image(tmp_path / "in" / name)
        with pytest.raises(
            NNUNetPromptError, match=r"1 of 3 cases have no mask.*File name too long"
        ):
            predict_folder(tmp_path / "in", tmp_path / "out", model=tmp_path)
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.nii.gz", fine]


def test_a_label_without_anything_positive_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = {"500": [{"position": [1, 1, 1], "positive": False}], "200": [[1, 1, 1]]}
    content = {"format": "nnunet-prompt", "version": 1, "cases": {"a": said}}
    (tmp_path / "p.json").write_text(json.dumps(content))
    images = {"a": image(tmp_path / "a.nii.gz")}
    asked = Asked(load_prompts(tmp_path / "p.json").for_images(images, table=TABLE))
    (found,) = group_images(images.values(), keys=("a",), n_channels=1)
    predict_cases(Fake(), [CaseToDo(found, tmp_path / "out.nii.gz")], asked)
    lines = [line for line in caplog.messages if "only negative" in line]
    assert len(lines) == 1 and "case a: label 500: only negative prompts" in lines[0]
