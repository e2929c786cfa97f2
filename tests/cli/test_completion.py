"""The scripts for shells: complete, and made without anything heavy."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from nnunet_prompt.cli import main as cli
from nnunet_prompt.cli.completion import SHELLS
from tests.helpers.each import each
from tests.test_imports import _loaded_after


def _script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["completion", shell]) == 0
    return capsys.readouterr().out


def _completed(script: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    code = (
        f". '{script}'\nCOMP_WORDS=({' '.join(repr(w) for w in words)})\nCOMP_CWORD={len(words) - 1}\n"
        "f=$(complete -p nnunet-prompt | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n$f\nprintf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_verbs_options_and_choices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(_script("bash", capsys))
    assert _completed(script, "nnunet-prompt", "pre") == ["predict"]
    assert set(_completed(script, "nnunet-prompt", "")) >= set(cli.VERBS)
    assert _completed(script, "nnunet-prompt", "predict", "--struct") == ["--structures"]
    devices = _completed(script, "nnunet-prompt", "predict", "-device", "")
    assert devices == ["cuda", "cpu", "mps"]
    assert "adapt" in _completed(script, "nnunet-prompt", "weights", "")
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path)
    assert _completed(script, "nnunet-prompt", "predict", "-i", "ima") == ["images"]


@each("shell", SHELLS)
def test_every_shell_gets_every_verb(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = _script(shell, capsys)
    assert [verb for verb in cli.VERBS if verb not in text] == []
    assert "structures" in text
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@each("shell", SHELLS)
def test_the_script_is_made_without_heavy_imports(shell: str) -> None:
    ask = (
        "import contextlib, io, nnunet_prompt.cli.main as c\n"
        f"with contextlib.redirect_stdout(io.StringIO()): c.main(['completion', '{shell}'])"
    )
    assert _loaded_after(ask) == []
