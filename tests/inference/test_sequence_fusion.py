"""Sequences of a patient that see different things become one mask, by hand-made logits and by a real predictor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
import torch

from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.inference.object_logits import ObjectLogits
from nnunet_prompt.inference.sequence_fusion import TRUST, predict_case, read_case, trust
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.spans import Spans
from nnunet_prompt.prompts.types import Box, CasePrompts, PromptSet
from tests.helpers.each import each
from tests.helpers.predictors import Answers, case, corner, predictor, stored

SHAPE = (4, 3, 2)
LPS = np.diag([-1.5, -1.25, 8.0, 1.0])
WHOLE: Spans = [(0, 4), (0, 3), (0, 2)]
SAID = CasePrompts({7: PromptSet(boxes=(Box((0, 0, 0), (4, 3, 2)),))})


def volume(name: str, shape: Sequence[int] = SHAPE, affine: Any = LPS) -> NiftiVolume:
    array = np.zeros(shape, np.float32)
    return NiftiVolume(Path(f"a_{name}.nii.gz"), array, np.array(affine), None, tuple(shape))


def volumes(*names: str) -> dict[str, NiftiVolume]:
    return {name: volume(name) for name in names}


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def said(*probabilities: float, labels: tuple[int, ...] = (7,), **changes: Any) -> ObjectLogits:
    """One probability per label in every voxel."""
    logits = np.stack([np.full(SHAPE, logit(p), np.float32) for p in probabilities])
    return replace(ObjectLogits(labels, (0, 0, 0), logits, WHOLE), **changes)


class Sees:
    """Answers what is given for the sequence of an image file, a_<sequence>.nii.gz; alone it answers 3."""

    table = StructureTable(())

    def __init__(
        self, answers: Mapping[str, ObjectLogits | Exception], n_image_channels: int = 1
    ) -> None:
        self.answers = answers
        self.n_image_channels = n_image_channels
        self.alone: list[list[str]] = []
        self.channels: list[NiftiVolume] = []

    def object_logits(self, images: Sequence[NiftiVolume], prompts: CasePrompts) -> ObjectLogits:
        (image,) = images
        answer = self.answers[image.path.name[2:-7]]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def predict_prompts(
        self, images: Sequence[NiftiVolume], prompts: CasePrompts
    ) -> npt.NDArray[np.int32]:
        self.alone.append([v.path.name for v in images])
        self.channels = list(images)
        return np.full(images[0].shape, 3, np.int32)

    def predict_structures(
        self, images: Sequence[NiftiVolume], wanted: Sequence[str] = ()
    ) -> npt.NDArray[np.int32]:
        raise NotImplementedError


def fuse(
    answers: Mapping[str, ObjectLogits | Exception], prompts: CasePrompts = SAID
) -> npt.NDArray[np.int32]:
    warnings: list[str] = []
    found = predict_case(Sees(answers), volumes(*answers), prompts, warn=warnings.append)
    assert warnings == [] and found.shape == SHAPE
    assert found.dtype.kind == "u"
    return found


class TestTrust:
    def test_the_best_sequence_outweighs_the_others_together_and_the_second_the_third(self) -> None:
        best = {}
        for label, weights in TRUST.items():
            assert set(weights) == {"LGE", "C0", "T2"}
            first, second, third = sorted(weights, key=lambda s: -weights[s])
            assert weights[first] > weights[second] + weights[third]
            assert weights[second] > weights[third] > 0
            best[label] = first
        assert best == {200: "C0", 500: "C0", 600: "C0", 1220: "T2", 2221: "LGE"}

    def test_another_name_and_unknown_labels(self) -> None:
        assert trust(2221, "DE") == trust(2221, "LGE") == 1.0
        assert trust(1220, "DE") == 0.2
        assert trust(1, "LGE") == trust(1, "C0") == 1.0


class TestWeights:
    @each(
        ("label", "seen_by"), [(2221, "LGE"), (1220, "T2"), (200, "C0"), (500, "C0"), (600, "C0")]
    )
    def test_the_best_sequence_decides(self, label: int, seen_by: str) -> None:
        for other in (0.01, 0.99):
            answers = {s: said(other, labels=(label,)) for s in ("LGE", "C0", "T2")}
            answers[seen_by] = said(1 - other, labels=(label,))
            assert (fuse(answers) == (label if other < 0.5 else 0)).all()

    @each(
        ("label", "missing", "second"),
        [(2221, "LGE", "T2"), (1220, "T2", "LGE"), (500, "C0", "LGE")],
    )
    def test_the_second_decides_where_the_best_is_missing(
        self, label: int, missing: str, second: str
    ) -> None:
        here = [s for s in ("LGE", "C0", "T2") if s != missing]
        answers = {s: said(0.99 if s == second else 0.01, labels=(label,)) for s in here}
        assert (fuse(answers) == label).all()

    def test_probabilities_are_averaged_with_the_weights(self) -> None:
        # scar: (1.0 * 0.55 + 0.2 * a + 0.1 * a) / 1.3 is above one half for a above 1/3
        for a, expected in ((0.30, 0), (0.36, 2221)):
            answers = {"LGE": said(0.55, labels=(2221,))}
            answers |= {s: said(a, labels=(2221,)) for s in ("C0", "T2")}
            assert (fuse(answers) == expected).all()

    def test_labels_that_nobody_knows_are_averaged_equally(self) -> None:
        for third, expected in ((0.39, 0), (0.41, 7)):
            answers = {"LGE": said(0.9), "C0": said(0.2), "T2": said(third)}
            assert (fuse(answers) == expected).all()

    def test_the_label_with_the_highest_mean_wins_and_one_half_is_not_enough(self) -> None:
        two = (500, 2221)
        answers = {"LGE": said(0.7, 0.9, labels=two), "C0": said(0.95, 0.1, labels=two)}
        # 500: (0.5 * 0.7 + 1.0 * 0.95) / 1.5 = 0.87; 2221: (1.0 * 0.9 + 0.1 * 0.1) / 1.1 = 0.83
        assert (fuse(answers) == 500).all()
        assert (fuse({"LGE": said(0.5), "C0": said(0.5)}) == 0).all()

    def test_of_two_certain_labels_the_more_certain_one_wins(self) -> None:
        logits = np.stack([np.full(SHAPE, v, np.float32) for v in (20.0, 24.0)])
        both = ObjectLogits((7, 8), (0, 0, 0), logits, WHOLE)
        assert (fuse({"LGE": both, "T2": both}) == 8).all()


class TestPlaces:
    def part(self, origin: tuple[int, int, int], size: tuple[int, int, int]) -> ObjectLogits:
        return ObjectLogits((7,), origin, np.full((1, *size), 9, np.float32), WHOLE)

    def test_what_was_not_looked_at_is_not_there(self) -> None:
        answers = {"LGE": self.part((0, 0, 0), (2, 2, 1)), "C0": self.part((1, 1, 0), (3, 1, 2))}
        expected = np.zeros(SHAPE, int)
        expected[1, 1, 0] = 7
        assert np.array_equal(fuse(answers), expected)
        assert np.array_equal(fuse(dict(reversed(answers.items()))), expected)

    def test_a_sequence_has_no_say_where_it_is_empty(self) -> None:
        here: Spans = [(0, 4), (0, 3), (0, 1)]
        answers = {"LGE": said(0.9, labels=(1220,)), "T2": said(0.01, labels=(1220,), seen=here)}
        expected = np.zeros(SHAPE, int)
        expected[..., 1] = 1220
        assert np.array_equal(fuse(answers), expected)

    def test_nothing_found_is_an_empty_mask(self) -> None:
        nothing = ObjectLogits((7,), (0, 0, 0), np.zeros((1, 0, 0, 0), np.float32), WHOLE)
        assert not fuse({"LGE": nothing, "T2": nothing}).any()
        assert not fuse({"LGE": replace(nothing, seen=[(0, 0)] * 3), "T2": nothing}).any()
        none = ObjectLogits((), (0, 0, 0), np.zeros((0, 0, 0, 0), np.float32), WHOLE)
        assert not fuse({"LGE": none, "T2": none}, CasePrompts()).any()

    @each("axis", [0, 1, 2])
    def test_a_label_stays_in_the_slices_where_it_was_prompted(
        self, axis: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("nnunet_prompt.inference.sequence_fusion.SLAB", 5)
        prompts = replace(SAID, slices={1: frozenset({7}), 0: frozenset()}, slice_axis=axis)
        expected = np.zeros(SHAPE, int)
        to_pls = pls_map(LPS, SHAPE)
        to_pls.apply(expected)[tuple(1 if a == axis else slice(None) for a in range(3))] = 7
        assert expected.any()
        assert np.array_equal(fuse({"LGE": said(0.9), "T2": said(0.8)}, prompts), expected)


class TestWhoIsAsked:
    def predict(
        self, fake: Sees, images: Mapping[str, NiftiVolume]
    ) -> tuple[npt.NDArray[np.int32], list[str]]:
        warnings: list[str] = []
        return predict_case(fake, images, SAID, warn=warnings.append), warnings

    @each("names", [["LGE"], [""], ["0000", "0001"]])
    def test_one_image_and_channels_are_predicted_as_ever(self, names: list[str]) -> None:
        fake = Sees({}, n_image_channels=len(names))
        found, warnings = self.predict(fake, volumes(*names))
        assert (found == 3).all() and warnings == []
        assert fake.alone == [[f"a_{name}.nii.gz" for name in names]]

    def test_a_sequence_on_another_grid_is_left_out(self) -> None:
        fake = Sees({})
        images = {"LGE": volume("LGE"), "T2": volume("T2", (4, 3, 3))}
        found, (warning,) = self.predict(fake, images)
        assert (found == 3).all() and fake.alone == [["a_LGE.nii.gz"]]
        assert warning == (
            "a_T2.nii.gz: has another geometry than a_LGE.nii.gz ((4, 3, 3) and (4, 3, 2));"
            " this sequence is left out"
        )

    def test_a_sequence_with_another_affine_is_taken_voxel_by_voxel(self) -> None:
        moved = np.array(LPS)
        moved[0, 3] = 40
        fake = Sees({"LGE": said(0.6), "T2": said(0.6)})
        found, (warning,) = self.predict(
            fake, {"LGE": volume("LGE"), "T2": volume("T2", affine=moved)}
        )
        assert (found == 7).all()
        assert warning == "a_T2.nii.gz: its affine differs from a_LGE.nii.gz, whose is taken"

    def test_a_sequence_whose_axes_are_stored_otherwise_is_turned(self) -> None:
        turned = np.array([[0, 0, 1.5, -4.5], [-1.25, 0, 0, 0], [0, 8.0, 0, 0], [0, 0, 0, 1]])
        t2 = replace(
            volume("T2", (3, 2, 4), turned),
            array=np.arange(24, dtype=np.float32).reshape(3, 2, 4),
        )
        images = {"LGE": volume("LGE"), "T2": t2}
        fake = Sees({}, n_image_channels=3)
        _, (warning,) = self.predict(fake, images)
        assert "no C0 beside it" in warning
        assert np.array_equal(fake.channels[2].array, t2.array.transpose(2, 0, 1)[::-1])
        assert np.array_equal(fake.channels[2].affine, LPS)

    def test_a_sequence_that_cannot_be_predicted_is_left_out(self) -> None:
        fake = Sees({"LGE": said(0.9), "T2": ImageError("a_T2.nii.gz vanishes")})
        found, warnings = self.predict(fake, volumes("LGE", "T2"))
        assert (found == 7).all()
        assert warnings == ["a_T2.nii.gz vanishes; this sequence is left out"]

    def test_what_all_refuse_is_raised_and_what_is_no_fault_of_theirs_at_once(self) -> None:
        wrong = NNUNetPromptError("point (9, 9, 9) lies outside")
        with pytest.raises(NNUNetPromptError, match="lies outside"):
            self.predict(Sees({"LGE": wrong, "T2": wrong}), volumes("LGE", "T2"))
        with pytest.raises(MemoryError):
            self.predict(Sees({"LGE": MemoryError(), "T2": said(0.9)}), volumes("LGE", "T2"))


class TestStacked:
    def test_three_channels_take_the_sequences_as_they_were_stacked_for_training(self) -> None:
        fake = Sees({}, n_image_channels=3)
        predict_case(fake, volumes("LGE", "C0", "T2"), SAID)
        assert fake.alone == [["a_C0.nii.gz", "a_LGE.nii.gz", "a_T2.nii.gz"]]

    def test_a_missing_sequence_is_zeros_and_de_is_lge(self) -> None:
        fake, warnings = Sees({}, n_image_channels=3), list[str]()
        ones = replace(volume("DE"), array=np.ones(SHAPE, np.float32))
        predict_case(fake, {"DE": ones}, SAID, warn=warnings.append)
        assert [v.array.max() for v in fake.channels] == [0, 1, 0]
        assert warnings == ["a_DE.nii.gz: no C0 and no T2 beside it, zeros take the place"]


class TestReadCase:
    def save(self, folder: Path, name: str, shape: tuple[int, ...] = SHAPE) -> Path:
        nib.save(nib.Nifti1Image(np.ones(shape, np.float32), LPS), folder / f"a_{name}.nii.gz")
        return folder / f"a_{name}.nii.gz"

    def test_a_sequence_that_cannot_be_read_is_left_out(self, tmp_path: Path) -> None:
        files = {name: self.save(tmp_path, name) for name in ("LGE", "C0", "T2")}
        files["LGE"].write_bytes(b"nothing")
        warnings: list[str] = []
        found = read_case(files, warn=warnings.append)
        assert list(found) == ["C0", "T2"] and found["T2"].path == files["T2"]
        (warning,) = warnings
        assert "a_LGE.nii.gz" in warning and warning.endswith("; this sequence is left out")

    def test_nothing_to_read_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match=r"a_LGE\.nii\.gz: no such file"):
            read_case({name: tmp_path / f"a_{name}.nii.gz" for name in ("LGE", "T2")})

    def test_no_channel_may_be_missing_or_of_another_shape(self, tmp_path: Path) -> None:
        files = {name: self.save(tmp_path, name) for name in ("0000", "0001")}
        assert list(read_case(files)) == ["0000", "0001"]
        self.save(tmp_path, "0001", (2, 2, 2))
        with pytest.raises(ImageError, match=r"shapes \[\(4, 3, 2\), \(2, 2, 2\)\]"):
            read_case(files)
        files["0001"].unlink()
        with pytest.raises(ImageError, match="no such file"):
            read_case(files)
        self.save(tmp_path, "T2", (2, 2, 2))
        assert len(read_case({"LGE": files["0000"], "T2": tmp_path / "a_T2.nii.gz"})) == 2


class TestRealPredictor:
    @each("axes", [("L", "P", "S"), ("S", "L", "P")])
    def test_two_equal_sequences_give_the_mask_of_one(self, axes: tuple[str, ...]) -> None:
        image = stored(axes, (1, -1, -1))
        torch.manual_seed(0)
        real = predictor(Answers(object_bias=-2.0))
        prompts = case(corner(image))
        alone = predict_case(real, {"LGE": image}, prompts)
        assert np.array_equal(alone, real.predict_prompts([image], prompts))
        assert (alone == 500).any()
        both = {"LGE": image, "T2": replace(image, path=Path("a_T2.nii.gz"))}
        assert np.array_equal(predict_case(real, both, prompts), alone)

    def test_sequences_that_are_cropped_otherwise_meet_on_the_file_grid(self) -> None:
        """The network answers with its box, so a sequence that shows less of the image must not move it."""
        image = stored()
        box = corner(image)
        rest = np.array(image.array)
        rest[: int(box.lower[0])] = 0  # another crop, which still holds the box
        both = {"LGE": image, "T2": replace(image, array=rest)}
        found = predict_case(predictor(), both, case(box))
        assert np.array_equal(found, predictor().predict_prompts([image], case(box)))
        assert (found == 500).any()
