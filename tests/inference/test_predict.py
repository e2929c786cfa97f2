"""A folder of images becomes a folder of masks, each on the grid of its image; what fails is named at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
import torch

from nnunet_prompt.challenge.images import ImageCase, group_images, image_files
from nnunet_prompt.data.nifti import NiftiVolume
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.errors import DatasetError, ImageError, ModelError, PromptError
from nnunet_prompt.inference.object_logits import ObjectLogits
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predict import predict_cases, predict_folder
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.prompts.model import CasePrompts
from nnunet_prompt.weights.names import stock_names
from tests.model_fixture import write_model_folder

SHAPE = (4, 3, 2)
TABLE = StructureTable((Structure("cavity", 1, (1,), 500), Structure("wall", 2, (2,), 200)))


class Fake:
    """Answers with the number of cases it has seen, and remembers what it was asked."""

    n_image_channels = 1
    table = TABLE

    def __init__(self, fail: Callable[[str], Exception | None] = lambda name: None) -> None:
        self.fail = fail
        self.seen: list[str] = []
        self.wanted: tuple[str, ...] = ()
        self.prompts: list[CasePrompts] = []

    def predict_structures(
        self, images: Sequence[NiftiVolume], wanted: Sequence[str] = ()
    ) -> npt.NDArray[np.int32]:
        self.wanted = tuple(wanted)
        return self._answer(images)

    def predict_prompts(
        self, images: Sequence[NiftiVolume], prompts: CasePrompts
    ) -> npt.NDArray[np.int32]:
        self.prompts.append(prompts)
        return self._answer(images)

    def object_logits(self, images: Sequence[NiftiVolume], prompts: CasePrompts) -> ObjectLogits:
        """LGE shows everything, the others nothing."""
        (volume,) = images
        self.seen.append(volume.path.name)
        sign = 1 if "LGE" in volume.path.name else -1
        logits = np.full((len(prompts.labels), *volume.shape), 9 * sign, np.float32)
        return ObjectLogits(tuple(prompts.labels), (0, 0, 0), logits, [(0, n) for n in SHAPE])

    def _answer(self, images: Sequence[NiftiVolume]) -> npt.NDArray[np.int32]:
        name = images[0].path.name
        error = self.fail(name)
        if error is not None:
            raise error
        self.seen.append(name)
        return np.full(images[0].shape, 500 + len(self.seen), np.int32)


def image(path: Path, shape: tuple[int, ...] = SHAPE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.array([[0, 1.5, 0, 3], [-1.25, 0, 0, 4], [0, 0, 8, 5], [0, 0, 0, 1.0]])
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def cases(folder: Path, *names: str) -> list[ImageCase]:
    for name in names:
        image(folder / name)
    return group_images(image_files(folder), keys=(), n_channels=1)


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
        fake = Fake()
        failed = predict_cases(
            fake, cases(tmp_path / "in", "a_0000.nii.gz", "b.nii.gz"), output=tmp_path
        )
        assert failed == {}
        for number, name in enumerate(("a", "b"), start=1):
            written = nib.load(tmp_path / f"{name}.nii.gz")
            source = nib.load(next((tmp_path / "in").glob(f"{name}*")))
            assert written.shape == SHAPE
            assert np.allclose(written.affine, source.affine)
            assert (mask(tmp_path / f"{name}.nii.gz") == 500 + number).all()

    def test_a_case_that_fails_does_not_cost_the_others(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        errors = {"b.nii.gz": ImageError("b is odd"), "c.nii.gz": MemoryError("no\nroom")}
        fake = Fake(errors.get)
        names = ("a.nii.gz", "b.nii.gz", "c.nii.gz", "d.nii.gz")
        failed = predict_cases(fake, cases(tmp_path / "in", *names), output=tmp_path)
        assert failed == {"b": "b is odd", "c": "MemoryError: no"}
        assert {p.name for p in tmp_path.glob("*.nii.gz")} == {"a.nii.gz", "d.nii.gz"}
        printed = capsys.readouterr().err
        assert "error: case b: b is odd" in printed and "error: case c: MemoryError: no" in printed

    def test_an_image_that_cannot_be_read(self, tmp_path: Path) -> None:
        some = cases(tmp_path / "in", "a.nii.gz", "b.nii.gz")
        (tmp_path / "in" / "a.nii.gz").write_bytes(b"nothing")
        failed = predict_cases(Fake(), some, output=tmp_path)
        assert set(failed) == {"a"} and "a.nii.gz" in failed["a"]
        assert (tmp_path / "b.nii.gz").exists()

    def test_masks_that_are_there_are_kept_if_so_wished(self, tmp_path: Path) -> None:
        some = cases(tmp_path / "in", "a.nii.gz", "b.nii.gz")
        predict_cases(Fake(), some[:1], output=tmp_path)
        before = (tmp_path / "a.nii.gz").read_bytes()
        fake = Fake()
        predict_cases(fake, some, output=tmp_path, overwrite=False)
        assert fake.seen == ["b.nii.gz"]
        assert (tmp_path / "a.nii.gz").read_bytes() == before
        predict_cases(fake, some, output=tmp_path)
        assert fake.seen == ["b.nii.gz", "a.nii.gz", "b.nii.gz"]

    def test_a_stopped_run_is_stopped(self, tmp_path: Path) -> None:
        def stop(name: str) -> Exception | None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            predict_cases(Fake(stop), cases(tmp_path / "in", "a.nii.gz"), output=tmp_path)
        assert not list(tmp_path.glob("*.nii.gz"))


class TestPredictFolder:
    def test_structures_by_name(self, tmp_path: Path, fake: Fake) -> None:
        image(tmp_path / "in" / "a.nii.gz")
        out = tmp_path / "new" / "out"
        count = predict_folder(tmp_path / "in", out, model=tmp_path, structures=("wall", "500"))
        assert count == 1 and fake.wanted == ("wall", "500")
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
        said = {"a": {"500": {"points": [{"position": [1, 1, 1]}]}}}
        prompts = tmp_path / "prompts.json"
        prompts.write_text(json.dumps({"format": "nnunet-prompt", "version": 1, "cases": said}))
        with pytest.raises(PromptError, match=r"1 of 2 cases have no mask.*b"):
            predict_folder(tmp_path / "in", tmp_path / "out", model=tmp_path, prompts=prompts)
        (given,) = fake.prompts
        assert given.labels[500].points[0].position == (1, 1, 1)
        assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.nii.gz"]

    def test_the_sequences_of_a_patient_are_fused(
        self, tmp_path: Path, fake: Fake, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("C0", "LGE", "T2"):
            image(tmp_path / "in" / f"a_{name}.nii.gz")
        (tmp_path / "in" / "a_C0.nii.gz").write_bytes(b"nothing")
        said = {"a": {"2221": {"points": [{"position": [1, 1, 1]}]}}}
        prompts = tmp_path / "prompts.json"
        prompts.write_text(json.dumps({"format": "nnunet-prompt", "version": 1, "cases": said}))
        assert predict_folder(tmp_path / "in", tmp_path / "o", model=tmp_path, prompts=prompts) == 1
        assert fake.seen == ["a_LGE.nii.gz", "a_T2.nii.gz"]
        assert (mask(tmp_path / "o" / "a.nii.gz") == 2221).all()
        assert "a_C0.nii.gz: cannot be read" in capsys.readouterr().err

    def test_prompts_and_names_together_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(PromptError, match="not both"):
            predict_folder(
                tmp_path, tmp_path, model=tmp_path, prompts=tmp_path / "p", structures=("wall",)
            )

    def test_no_folder_no_images_no_prompts_file_no_model(self, tmp_path: Path) -> None:
        with pytest.raises(PromptError, match="no such folder"):
            predict_folder(tmp_path / "none", tmp_path, model=tmp_path)
        with pytest.raises(PromptError, match=r"no .nii.gz"):
            predict_folder(tmp_path, tmp_path, model=tmp_path)
        image(tmp_path / "a.nii.gz")
        with pytest.raises(PromptError, match=r"none.json"):
            predict_folder(tmp_path, tmp_path, model=tmp_path, prompts=tmp_path / "none.json")
        with pytest.raises(ModelError, match="no model folder"):
            predict_folder(tmp_path, tmp_path, model=tmp_path)

    def test_an_output_that_cannot_be_a_folder(self, tmp_path: Path, fake: Fake) -> None:
        source = image(tmp_path / "in" / "a.nii.gz")
        with pytest.raises(PromptError, match="cannot be made"):
            predict_folder(tmp_path / "in", source, model=tmp_path)

    @pytest.mark.parametrize("older", [False, True])
    def test_a_real_model_end_to_end(self, tmp_path: Path, older: bool) -> None:
        image(tmp_path / "in" / "a.nii.gz", (9, 11, 6))
        model = write_model_folder(tmp_path / "model", folds=(0, 1))
        for path in model.glob("fold_*/checkpoint_final.pth") if older else ():
            content = torch.load(path, weights_only=False)
            torch.save(content | {"network_weights": stock_names(content["network_weights"])}, path)
        options = PredictOptions(device="cpu")
        count = predict_folder(tmp_path / "in", tmp_path / "out", model=model, options=options)
        assert count == 1
        found = mask(tmp_path / "out" / "a.nii.gz")
        assert found.shape == (9, 11, 6)
        assert set(np.unique(found)) <= {0, 500, 200, 2221}
