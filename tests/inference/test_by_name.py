"""Labels that words name: the automatic pass answers for them, and what is pointed at stays as it was."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from nnunet_prompt.cli.main import main
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.inference.by_name import add_named
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predict_folder import predict_folder
from nnunet_prompt.inference.run_options import RunOptions
from nnunet_prompt.inference.sequence_fusion import predict_case
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.types import CasePrompts
from tests.helpers.models import TABLE, write_model_folder
from tests.helpers.predictors import TABLE as ANSWERED
from tests.helpers.predictors import case, corner, filled, predictor, stored

pytestmark = pytest.mark.slow

CPU = PredictOptions(device="cpu", use_mirroring=False)
PHRASES = {"ball": "the main pumping chamber", "shell": "what surrounds it"}


def test_add_named_fills_what_is_empty_in_slices_that_allow_it() -> None:
    labels = np.array([[[7, 0, 0, 0]]], np.uint8)
    found = np.array([[[500, 500, 500, 2221]]], np.uint16)
    identity = pls_map(
        np.array([[0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), labels.shape
    )
    asked: list[Any] = []

    def ask(names: Any) -> Any:
        asked.append(list(names))
        return found

    named = CasePrompts(
        named={900: "cavity", 3: "scar"}, slices={1: frozenset({900, 3}), 3: frozenset({3})}
    )
    result = add_named(labels, named, ANSWERED, ask, identity)
    assert result.tolist() == [[[7, 900, 0, 3]]] and result.dtype == np.uint16
    assert labels.tolist() == [[[7, 0, 0, 0]]] and asked == [["cavity", "scar"]]
    assert add_named(labels, CasePrompts(), ANSWERED, ask, identity) is labels


def test_a_part_and_its_whole_of_one_value_are_asked_apart() -> None:
    wall, scar = ANSWERED.structures[1:]
    table = replace(
        ANSWERED, structures=(ANSWERED.structures[0], wall, replace(scar, official=200))
    )
    asked: list[Any] = []

    def ask(names: Any) -> Any:
        asked.append(list(names))
        return np.where(np.arange(3) < len(asked), 200, 0).reshape(1, 1, 3)

    prompts = CasePrompts(named={1: "scar", 2: "wall"})
    labels = np.zeros((1, 1, 3), np.uint8)
    result = add_named(labels, prompts, table, ask, pls_map(np.eye(4), labels.shape))
    assert asked == [["scar"], ["wall"]] and result.tolist() == [[[1, 2, 0]]]


def test_the_predictor_answers_for_both() -> None:
    image, one = stored(), predictor()
    box = corner(image)
    alone = one.predict_prompts([image], CasePrompts(named={7: "wall"}))
    wall = one.predict_structures([image], ["wall"]) == 200
    assert wall.any() and np.array_equal(alone, np.where(wall, 7, 0))
    both = one.predict_prompts([image], replace(case(box), named={7: "wall"}))
    inside = filled(image, box)
    assert np.array_equal(both, np.where(inside, 500, np.where(wall, 7, 0)))
    assert np.array_equal(
        predict_case(one, {"": image}, replace(case(box), named={7: "wall"})), both
    )


def test_a_sequence_answers_for_what_it_is_trusted_for() -> None:
    one, image = predictor(), stored()
    bright = replace(image, array=np.where(image.array > 0, image.array + 5, 0))
    volumes = {"C0": image, "LGE": bright}
    labels = predict_case(one, volumes, CasePrompts(named={1: "scar", 2: "cavity"}))
    scar = one.predict_structures([bright], ["scar"]) == 2221  # 2221 is seen best in LGE
    cavity = one.predict_structures([image], ["cavity"]) == 500  # and 500 in C0
    assert np.array_equal(labels, np.where(scar, 1, np.where(cavity, 2, 0)))


def answering(model: Path) -> Path:
    """The model, of which the heads of ball and shell now claim every voxel: the higher probability decides."""
    path = model / "fold_0" / "checkpoint_final.pth"
    content = torch.load(path, weights_only=False)
    content["network_weights"]["heads.1.bias"][1:3] = 5.0
    torch.save(content, path)
    return model


# A folder -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images, a model that was never trained, and what its structures are in them."""
    path = tmp_path_factory.mktemp("words")
    answering(write_model_folder(path / "model"))
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        image = nib.Nifti1Image(
            rng.normal(size=(14, 13, 9)).astype(np.float32), np.diag([1.25, 1.5, 4, 1])
        )
        (path / "images").mkdir(exist_ok=True)
        nib.save(image, path / "images" / f"{name}.nii.gz")
    predict_folder(
        path / "images",
        path / "all",
        model=path / "model",
        options=CPU,
        structures=["ball", "shell"],
    )
    return path


def own(path: Path, cases: Any) -> Path:
    path.write_text(json.dumps({"format": "nnunet-prompt", "version": 1, "cases": cases}))
    return path


def mask(path: Path) -> Any:
    return np.asarray(nib.load(path).dataobj)


def test_words_alone_are_what_structures_give(folder: Path, tmp_path: Path) -> None:
    prompts = own(tmp_path / "p.json", {"a": "ball", "b": {"text": ["ball", "shell"]}})
    predict_folder(
        folder / "images", tmp_path / "o", model=folder / "model", prompts=prompts, options=CPU
    )
    expected = mask(folder / "all" / "b.nii.gz")
    assert set(np.unique(expected)) >= {200, 500}
    assert np.array_equal(mask(tmp_path / "o" / "b.nii.gz"), expected)
    assert set(np.unique(mask(tmp_path / "o" / "a.nii.gz"))) <= {0, 500}


def test_beside_points_of_another_label_they_change_only_what_is_empty(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    points = {"points": [[6, 6, 4]]}
    without = own(tmp_path / "a.json", {"a": {"2221": points}, "b": {"2221": points}})
    beside = own(
        tmp_path / "b.json",
        {"a": {"2221": points, "9": "ball"}, "b": {"2221": points, "text": "nonsense"}},
    )
    for name, prompts in (("without", without), ("beside", beside)):
        predict_folder(
            folder / "images", tmp_path / name, model=folder / "model", prompts=prompts, options=CPU
        )
    pointed = mask(tmp_path / "without" / "a.nii.gz")
    both = mask(tmp_path / "beside" / "a.nii.gz")
    assert (
        (pointed == 2221).any()
        and np.array_equal(both == 2221, pointed == 2221)
        and (both == 9).any()
    )
    assert np.array_equal(
        mask(tmp_path / "without" / "b.nii.gz"), mask(tmp_path / "beside" / "b.nii.gz")
    )
    assert any("cases.b: text: no structure 'nonsense'" in line for line in caplog.messages)


def test_a_case_of_refused_words_costs_no_other(folder: Path, tmp_path: Path) -> None:
    prompts = own(tmp_path / "p.json", {"a": "nonsense", "b": "ball"})
    with pytest.raises(NNUNetPromptError, match=r"1 of 2 cases .* no structure 'nonsense'"):
        predict_folder(
            folder / "images", tmp_path / "o", model=folder / "model", prompts=prompts, options=CPU
        )
    assert [p.name for p in (tmp_path / "o").iterdir()] == ["b.nii.gz"]


def test_a_finished_mask_of_words_is_kept(folder: Path, tmp_path: Path) -> None:
    prompts = own(tmp_path / "p.json", {"a": {"9": "ball"}, "b": "shell"})
    for kept in (0, 2):
        found = predict_folder(
            folder / "images",
            tmp_path / "o",
            model=folder / "model",
            prompts=prompts,
            options=CPU,
            run_options=RunOptions(overwrite=False),
        )
        assert (found.written, found.kept) == (2 - kept, kept)


def test_refine_probabilities_and_monitor(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = own(
        tmp_path / "p.json", {"a": "ball", "b": {"7": "ball", "2221": {"points": [[6, 6, 4]]}}}
    )
    common: dict[str, Any] = {"model": folder / "model", "prompts": prompts, "options": CPU}
    predict_folder(folder / "images", tmp_path / "r", refine=folder / "all", **common)
    assert np.array_equal(mask(tmp_path / "r" / "a.nii.gz"), mask(folder / "all" / "a.nii.gz"))
    assert any("its text corrects nothing" in line for line in caplog.messages)
    options = RunOptions(probabilities=True, monitor=tmp_path / "rows.csv")
    predict_folder(folder / "images", tmp_path / "o", run_options=options, **common)
    maps = sorted(p.name for p in (tmp_path / "o" / "probabilities").iterdir())
    assert maps == ["b__2221.nii.gz"] and (mask(tmp_path / "o" / "b.nii.gz") == 7).any()
    assert any("no probabilities are written for it" in line for line in caplog.messages)
    with (tmp_path / "rows.csv").open() as file:
        rows = [(row["case"], row["structure"]) for row in csv.DictReader(file)]
    assert rows == [("a", "ball"), ("b", "core"), ("b", "ball")]


def bank(path: Path) -> Path:
    """Each structure in one direction, its phrase near it."""
    vectors = [*np.eye(3), *(0.9 * np.eye(3)[:2] + 0.1)]
    labels = np.array([*(s.name for s in TABLE.structures), *PHRASES.values()])
    np.savez(path, labels=labels, vectors=np.array(vectors, np.float16))
    return path


def test_word_bank_on_the_command_line_and_in_the_model_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = bank(tmp_path / "bank.npz")
    model = answering(write_model_folder(tmp_path / "model"))
    base = [
        "predict",
        "-i",
        str(folder / "images"),
        "-m",
        str(model),
        "-device",
        "cpu",
        "--disable_tta",
    ]
    wanted = ["--structures", ",".join(PHRASES.values())]
    assert main([*base, "-o", str(tmp_path / "0"), *wanted]) == 1
    assert "no structure 'the main pumping chamber'" in capsys.readouterr().err
    assert main([*base, "-o", str(tmp_path / "1"), *wanted, "--word-bank", str(words)]) == 0
    assert "bank.npz: nearest to 'ball'" in capsys.readouterr().err
    bank(model / "words.npz")
    prompts = own(tmp_path / "p.json", {"a": PHRASES["ball"], "b": list(PHRASES.values())})
    assert main([*base, "-o", str(tmp_path / "2"), "-p", str(prompts)]) == 0
    expected = mask(folder / "all" / "b.nii.gz")
    for run in "12":
        assert np.array_equal(mask(tmp_path / run / "b.nii.gz"), expected)
    (model / "words.npz").write_bytes(b"PK\x03\x04 cut")
    capsys.readouterr()
    assert main([*base, "-o", str(tmp_path / "3")]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "words.npz: cannot be read as .npz" in error
