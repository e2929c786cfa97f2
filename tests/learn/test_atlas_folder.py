"""Each image of a folder gets the labels of its nearest support case, on its own grid."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.cli.main import main
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.learn.atlas_folder import AtlasRun, atlas_folder
from tests.learn.conftest import write_case

pytestmark = pytest.mark.slow


def test_masks_are_written_on_the_grid_of_their_images(support: Path, tmp_path: Path) -> None:
    write_case(support, "case_1", empty=True, seed=1)
    write_case(tmp_path / "new", "other", seed=0)  # looks like case_0
    made = atlas_folder(
        support / "images", support / "labels", tmp_path / "new" / "images", tmp_path / "out"
    )
    assert made == AtlasRun({"other": "case_0"}, 0)
    mask, labels = (
        nib.load(folder / "other.nii.gz") for folder in (tmp_path / "out", tmp_path / "new/labels")
    )
    assert np.array_equal(mask.affine, labels.affine)
    found, expected = np.asarray(mask.dataobj) == 7, np.asarray(labels.dataobj) == 7
    assert 2 * (found & expected).sum() > 0.9 * (found.sum() + expected.sum())


def test_a_case_that_fails_stops_no_other(
    support: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_case(tmp_path / "new", "b", seed=0)
    (tmp_path / "new" / "images" / "a_0000.nii.gz").write_bytes(b"no image")
    with pytest.raises(NNUNetPromptError, match=r"1 case\(s\) have no mask: a "):
        atlas_folder(
            support / "images", support / "labels", tmp_path / "new" / "images", tmp_path / "out"
        )
    assert "a_0000.nii.gz" in caplog.text
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["b.nii.gz"]


def test_the_verb_keeps_what_is_finished(
    support: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_case(tmp_path / "new", "b", seed=0)
    words = ["atlas", *(str(support / part) for part in ("images", "labels"))]
    words += ["-i", str(tmp_path / "new" / "images"), "-o", str(tmp_path / "out")]
    assert main(words) == 0
    assert capsys.readouterr().out == f"wrote 1 mask to {tmp_path / 'out'}\n"
    assert main([*words, "--c"]) == 0
    out = capsys.readouterr().out
    assert out == f"wrote 0 masks to {tmp_path / 'out'}; kept 1 existing mask\n"


def test_the_output_may_not_be_an_input(support: Path, tmp_path: Path) -> None:
    write_case(tmp_path / "new", "b")
    with pytest.raises(NNUNetPromptError, match="never written to"):
        atlas_folder(
            support / "images", support / "labels", tmp_path / "new" / "images", support / "labels"
        )
