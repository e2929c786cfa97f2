"""Every example of docs/python.md runs, with a model that was never trained, and README's is the first of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt import NNUNetPromptError, __all__, evaluate
from nnunet_prompt.common.plugins import plugins
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.prompt_files.prompt_file import load_prompts
from tests.helpers.models import write_model_folder

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(PACKAGE,) = re.findall(r"```python my_package\n(.*?)```", PAGE, re.DOTALL)
(ENTRIES,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
TABLE = StructureTable((Structure("LV", 1, (1,), 500), Structure("scar", 2, (2,), 2221)))
AFFINE = np.diag([-1.0, -1.0, 5.0, 1.0])
SHAPE = (120, 130, 8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the examples run: a model, an image, and folders with its label map and a prediction."""
    write_model_folder(tmp_path / "MODEL", table=TABLE)
    rng = np.random.default_rng(0)
    image = nib.Nifti1Image(rng.normal(size=SHAPE).astype(np.float32), AFFINE)
    nib.save(image, tmp_path / "case_001.nii.gz")
    labels = np.zeros(SHAPE, np.uint16)
    labels[80:95, 90:100, 4:6] = 500
    for name in ("labelsTs", "predictions"):
        (tmp_path / name).mkdir()
        nib.save(nib.Nifti1Image(labels, AFFINE), tmp_path / name / "case_001.nii.gz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for example in EXAMPLES:
        exec(example, names)
    assert names["mask"].shape == names["structures"].shape == SHAPE
    assert set(np.unique(names["mask"])) <= {0, 500}
    assert nib.load(folder / "out.nii.gz").shape == SHAPE
    *_, told = capsys.readouterr().out.splitlines()
    assert f"print(error)  # {told}\n" in PAGE


def test_the_page_names_what_is_public() -> None:
    assert [name for name in __all__ if name != "__version__" and name not in PAGE] == []


def test_readme_has_the_first_example() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert _code(block) == _code(EXAMPLES[0])


def test_the_package_of_the_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = folder / "site" / "my_package-1.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n")
    entries = re.sub(r'project\.entry-points\."(.*?)"', r"\1", ENTRIES).replace('"', "")
    (described / "entry_points.txt").write_text(entries)
    (folder / "site" / "my_package.py").write_text(PACKAGE)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(folder / "site"))
        plugins.cache_clear()
        assert plugins("converters")[0].call(folder, 7) == folder
        found = evaluate(np.ones((2, 2, 2)), np.ones((2, 2, 2)), spacing_mm=(1, 1, 1))
        assert found["mean"]["1"]["surface_dice_2mm"] == 1.0
        (folder / "case_001.fiducials").write_text("88 97 5")
        file = load_prompts(folder / "case_001.fiducials")
        file = file.for_images({"case_001": "case_001.nii.gz"}, table=TABLE)
        assert file.labels("case_001") == {500}
    plugins.cache_clear()
    with pytest.raises(NNUNetPromptError):
        load_prompts(folder / "case_001.fiducials")


def _code(text: str) -> list[str]:
    return [line.split("#")[0].rstrip() for line in text.splitlines()]
