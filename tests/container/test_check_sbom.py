"""A bill of materials says what the lists of an image pin, no more and no less."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.each import each

ROOT = Path(__file__).parents[2]


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("check_sbom", ROOT / "container/check_sbom.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


checking = _load()


@pytest.fixture
def lists(tmp_path: Path) -> list[str]:
    """Two lists of pins."""
    (tmp_path / "a.txt").write_text("# what it holds\nPyYAML==6.0.3\nmarkdown-it-py==4.3.0\n")
    (tmp_path / "torch.txt").write_text("torch===2.13.0\n")
    return [str(tmp_path / "a.txt"), str(tmp_path / "torch.txt")]


def write(path: Path, *packages: tuple[str, str], ours: bool = True) -> Path:
    content: dict[str, Any] = {"bomFormat": "CycloneDX"}
    content["components"] = [{"name": name, "version": version} for name, version in packages]
    if ours:
        content["metadata"] = {"component": {"name": "nnunet-prompt", "version": "0.1.0"}}
    path.write_text(json.dumps(content))
    return path


GOOD = (("pyyaml", "6.0.3"), ("markdown_it_py", "4.3.0"), ("torch", "2.13.0"))


def test_the_same_packages_whatever_their_spelling(tmp_path: Path, lists: list[str]) -> None:
    assert checking.main([str(write(tmp_path / "s.json", *GOOD)), *lists]) == 0


@each(
    ("packages", "line"),
    [
        (GOOD[1:], "pyyaml: expected 6.0.3, found none"),
        ((*GOOD, ("pip", "24.0")), "pip 24.0: is in no list"),
        ((*GOOD[:2], ("torch", "2.12.0")), "torch: expected 2.13.0, found 2.12.0"),
    ],
)
def test_a_difference_is_one_line(
    tmp_path: Path,
    lists: list[str],
    packages: Any,
    line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert checking.main([str(write(tmp_path / "s.json", *packages)), *lists]) == 1
    assert capsys.readouterr().err.splitlines() == [line]


def test_the_package_itself_is_in_it(
    tmp_path: Path, lists: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert checking.main([str(write(tmp_path / "s.json", *GOOD, ours=False)), *lists]) == 1
    assert "nnunet-prompt: expected the package itself" in capsys.readouterr().err


@each("text", ["", "[]", '{"spdxVersion": "SPDX-2.3"}'])
def test_another_file_is_one_line(
    tmp_path: Path, lists: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.json").write_text(text)
    assert checking.main([str(tmp_path / "s.json"), *lists]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "s.json: " in line


def test_the_lists_of_the_images_are_read_whole() -> None:
    paths = sorted((ROOT / "container").glob("*.txt"))
    pins = sum(bool(re.match(r"\w", line)) for p in paths for line in p.read_text().splitlines())
    # torch has a list for each variant, and both pin it
    assert len(checking.pinned(paths)) == pins - 1
