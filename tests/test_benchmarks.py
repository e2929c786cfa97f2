"""The benchmark of conversion compares like with like: SimpleITK writes as many files as the converter."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from nnunet_prompt.cli.main import main
from tests.helpers.each import each

SMALL = {"myops": (32, 30, 8), "whs": (40, 36, 20), "lascarqs": (48, 48, 12), "liqa": (32, 36, 20)}
SOURCE = Path(__file__).parents[1] / "benchmarks" / "conversion.py"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SOURCE.parent))
    spec = importlib.util.spec_from_file_location("conversion_benchmark", SOURCE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # its dataclasses look for it there
    spec.loader.exec_module(module)
    return module


@each("name", SMALL)
def test_the_made_up_downloads_convert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benchmark: ModuleType, name: str
) -> None:
    task = replace(
        next(t for t in benchmark.TASKS if t.name == name), patients=2, shape=SMALL[name]
    )
    files = list(benchmark.write_download(task, tmp_path / "source"))
    assert sorted(p for p, _ in files) == sorted((tmp_path / "source").rglob("*.nii.gz"))
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    assert main(["convert", name, str(tmp_path / "source"), "-d", "7"]) == 0
    written = list((tmp_path / "raw").rglob("*.nii.gz"))
    names = [n for _, targets in files for n in targets]
    assert len(written) == len(names) == len(set(names))


def test_the_table(benchmark: ModuleType) -> None:
    sides = {
        side: {"wall_s": 2.0 * k, "cpu_s": 3.0 * k, "bytes": 1_500_000}
        for k, side in enumerate(benchmark.SIDES, 1)
    }
    result = {"patients": 6, "shape": [4, 5, 6], "rounds": 3, "machine": "m", "sides": sides}
    lines = benchmark.report({"whs": result}).splitlines()
    assert lines[-1] == (
        "| whs | 6, 4 x 5 x 6; 3 rounds | convert, one core | 6.00 | 3.00 | 9.00 | 3.00 | 1.5 |"
    )


def test_a_task_that_is_not_there_is_no_old_table(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["conversion.py", "--tasks", "wsh"])
    with pytest.raises(SystemExit, match="2"):
        benchmark.main()
    seen = capsys.readouterr()
    assert seen.out == "" and "'wsh'" in seen.err
