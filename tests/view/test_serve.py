"""Starting the page: options, addresses, a missing extra, and the command itself."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from nnunet_prompt.cli import main as cli
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.view.options import ViewOptions
from nnunet_prompt.view.serve import address, listen, serve
from tests.helpers.models import write_model_folder
from tests.view.desks import write_case

pytestmark = pytest.mark.slow  # a whole product


def test_another_address_demands_a_token() -> None:
    with pytest.raises(NNUNetPromptError, match="a token is needed"):
        ViewOptions(host="0.0.0.0")
    with pytest.raises(NNUNetPromptError, match="at least 16 letters and digits"):
        ViewOptions(token="short")
    assert ViewOptions(host="0.0.0.0", token="0123456789abcdef").token


def test_an_address_that_is_taken_is_one_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(NNUNetPromptError, match="in use; give another --port"):
            listen(ViewOptions(port=port))
    with listen(ViewOptions(token="0123456789abcdef")) as ours:
        shown = address(ViewOptions(token="0123456789abcdef"), ours)
    assert shown.endswith("/?token=0123456789abcdef")


def test_a_missing_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(NNUNetPromptError, match=r"pip install 'nnunet-prompt\[view\]'"):
        serve("model")


def test_no_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn")
    assert cli.main(["view", str(tmp_path / "nothing")]) == 1
    assert "error:" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_serves_until_ctrl_c(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    write_model_folder(tmp_path / "model")
    image = write_case(tmp_path / "images")
    words = ["view", str(tmp_path / "model"), str(image), "-device", "cpu"]
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background has none
    program = subprocess.Popen(
        [sys.executable, "-m", "nnunet_prompt", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, before)
    assert program.stdout is not None
    line = program.stdout.readline()
    assert line.startswith("open http://127.0.0.1:")
    with urllib.request.urlopen(line.split()[1]) as page:
        assert b"nnunet-prompt" in page.read()
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=60)
    assert program.returncode == 130 and "Traceback" not in err
