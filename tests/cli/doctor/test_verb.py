"""`nnunet-prompt doctor`: whole on this machine, and one line per fault on a broken one."""

from __future__ import annotations

import json
import os
from importlib import import_module, metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_prompt.cli import main as cli
from nnunet_prompt.cli.doctor import installation, places
from nnunet_prompt.cli.doctor.check import Check, looked, shortened
from nnunet_prompt.cli.doctor.verb import as_text, diagnosis
from nnunet_prompt.common import plugins as plugin_module
from tests.helpers.each import each
from tests.helpers.schemas import check_form

pytestmark = pytest.mark.slow


def _by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_this_installation_works(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for variable in places.VARIABLES:
        (tmp_path / variable).mkdir()
        os.environ[variable] = str(tmp_path / variable)
    assert cli.main(["doctor", "--json"]) == 0
    captured = capsys.readouterr()
    content = json.loads(captured.out)  # nothing else is on stdout
    check_form("doctor", content)
    assert content["ok"] is True
    found = {row["name"]: row for row in content["checks"]}
    assert {"Python", "torch", "nnunetv2", "cpu", "trainers", "self-test"} <= set(found)
    assert found["torch"]["found"] == metadata.version("torch")
    assert found["self-test"]["status"] in ("ok", "warning")
    assert "a click made a mask of" in found["self-test"]["found"]
    assert found["nnUNet_raw"]["found"].endswith("0 data sets")


def test_text_and_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def devices() -> list[Check]:
        return [Check("cuda:0", "broken", "no kernel image", "update the driver")]

    monkeypatch.setattr(installation, "devices", devices)
    assert cli.main(["doctor", "--no-self-test"]) == 1
    lines = capsys.readouterr().out.splitlines()
    (row,) = (n for n, line in enumerate(lines) if line.startswith("broken   cuda:0"))
    assert lines[row].endswith("no kernel image")
    assert lines[row + 1].strip() == "-> update the driver"
    assert lines[-1].startswith("1 broken, ")
    assert "self-test" not in "\n".join(lines)


def test_warnings_are_no_failure() -> None:
    assert as_text([Check("a", "ok", "1"), Check("bcd", "warning", "2", "do")]) == (
        "ok       a    1\nwarning  bcd  2\n              -> do\n0 broken, 1 with a warning, of 2"
    )


@each("error", [RuntimeError("two\nlines"), SystemExit("no"), KeyError("x"), OSError()])
def test_what_a_check_raises_is_a_line(error: BaseException) -> None:
    def look() -> list[Check]:
        raise error

    (check,) = looked("devices", look)
    assert (check.name, check.status) == ("devices", "broken")
    assert check.found.startswith(type(error).__name__)
    assert "\n" not in check.found


def test_ctrl_c_is_not_swallowed() -> None:
    def look() -> list[Check]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        looked("devices", look)


def test_what_a_package_prints_is_not_in_the_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def python() -> list[Check]:
        print("hello from a package")
        return []

    monkeypatch.setattr(installation, "python", python)
    diagnosis(self_test=False)
    captured = capsys.readouterr()
    assert "hello" not in captured.out
    assert "hello" in captured.err


@each(
    ("text", "short"),
    [
        ("/home/ann/data", "~/data"),
        ("/home/annika/data", "/home/annika/data"),
        ("see /home/ann", "see ~"),
        ("https://ann:s3cret@host/x", "https://***@host/x"),
        ("API_TOKEN=abc123 next", "API_TOKEN=*** next"),
        ("password: abc", "password: ***"),
        ("the tokenizer works", "the tokenizer works"),
    ],
)
def test_what_is_private_is_shortened(
    text: str, short: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ann"))
    assert shortened(text) == short


# Packages, plugins -------------------------------------------------------------------------------------------------


def test_an_old_package_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version
    old = {"numpy": "1.2.0"}
    monkeypatch.setattr(metadata, "version", lambda name: old.get(name) or real(name))
    found = _by_name(installation.packages())
    assert (found["numpy"].status, found["nibabel"].status) == ("broken", "ok")
    assert found["numpy"].found == "1.2.0, expected >=1.24"


def test_a_missing_package_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "nibabel":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    assert _by_name(installation.packages())["nibabel"].found == "not installed"


def test_what_cannot_be_imported_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> object:
        if name == "SimpleITK":
            raise ImportError("libstdc++: version\nnot found")
        return import_module(name)

    monkeypatch.setattr("importlib.import_module", fail)
    (check,) = installation.imports()
    assert check.found == "SimpleITK: ImportError: libstdc++: version not found"
    assert check.status == "broken"


def test_plugins_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        metadata.EntryPoint("good", "json:loads", "nnunet_prompt.metrics"),
        metadata.EntryPoint("bad", "no_such_module:f", "nnunet_prompt.metrics"),
    ]
    made = tuple(plugin_module.Plugin(e.name, "package 1", e) for e in entries)
    monkeypatch.setattr(plugin_module, "plugins", lambda group: made if group == "metrics" else ())
    found = _by_name(installation.plugins_found())
    assert found["plugin good"].status == "ok"
    assert found["plugin bad"].status == "broken"
    assert "no_such_module" in found["plugin bad"].found


# Folders ------------------------------------------------------------------------------------------------------------


def test_folders_unset_absent_and_counted(tmp_path: Path) -> None:
    (tmp_path / "Dataset001_A").mkdir()
    os.environ |= {"nnUNet_raw": str(tmp_path), "nnUNet_results": str(tmp_path / "none")}
    found = _by_name(places.folders())
    assert found["nnUNet_raw"] == Check("nnUNet_raw", "ok", f"{tmp_path}: 1 data sets")
    assert found["nnUNet_preprocessed"].status == "warning"
    assert found["nnUNet_results"].status == "broken"
    assert found["nnUNet_results"].advice == f"run `mkdir -p {tmp_path / 'none'}`"


def test_trainers_of_others_are_listed_and_absent_folders_broken(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class nnUNetTrainerMine:\n    pass\n")
    os.environ["nnUNet_extTrainer"] = os.pathsep.join([str(tmp_path), str(tmp_path / "none")])
    ours, mine, none = places.trainers()
    assert (ours.status, mine.status, none.status) == ("ok", "ok", "broken")
    assert mine.found == f"nnUNetTrainerMine in {tmp_path}"
    assert int(ours.found.split()[0]) >= 13


@each(("free", "status"), [(2**40, "ok"), (2**30, "warning"), (2**20, "broken")])
def test_a_full_disc(free: int, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    assert {check.status for check in places.space()} == {status}
