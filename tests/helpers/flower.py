"""An environment of its own for Flower, keys and certificates for a federation on this machine.

The environment has Flower with the versions that it pins; everything else it takes from the one that runs the tests. It
is kept where continuous integration keeps its environments, under a name made of the pin and of what it was made with.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.own_environment import WANTED

ROOT = Path(__file__).parents[2]
BUILT = "complete"


def flower_python() -> Path:
    """The interpreter of an environment with Flower, made where it is wanted. Skips the test where there is none."""
    if sys.version_info < (3, 11):
        pytest.skip("Flower needs Python 3.11 or later")
    folder = _folder()
    python = folder / "bin" / "python"
    if not (folder / BUILT).is_file():
        if not os.environ.get(WANTED):
            pytest.skip(f"{WANTED}=1 installs {pinned()} into an environment of its own")
        shutil.rmtree(folder, ignore_errors=True)
        _must([sys.executable, "-m", "venv", str(folder)], "no environment can be made")
        _must(
            [str(python), "-m", "pip", "install", "-q", pinned()], f"{pinned()} cannot be installed"
        )
        (found,) = (folder / "lib").glob("python3*/site-packages")
        places = [p for p in sys.path if p.endswith("site-packages")] or site.getsitepackages()
        lines = [f"import site; site.addsitedir({place!r})" for place in places]
        (found / "zz_tests.pth").write_text("\n".join(lines) + "\n")
        (folder / BUILT).touch()
    os.utime(folder)  # environments that were not used for long are removed
    return python


def pinned() -> str:
    """The requirement of the extra `federated`."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^federated = \["(flwr[^;"]+)', text, re.MULTILINE)
    assert found is not None
    return found[1].strip()


def _folder() -> Path:
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nnunet_prompt"
    cache = Path(os.environ.get("NNUNET_PROMPT_CACHE") or default)
    about = f"{pinned()} {sys.version} {sys.prefix}"
    return cache / f"venv-flower-{hashlib.sha256(about.encode()).hexdigest()[:12]}"


def _must(command: list[str], reason: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"{reason}: {last[:200]}")


def certificates(folder: Path) -> None:
    """An authority `ca.crt` and a certificate `server.pem` with its key `server.key` for this machine."""
    extension = folder / "names.txt"
    extension.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    new = "-newkey rsa:2048 -nodes"
    for line in (
        f"req -x509 {new} -keyout ca.key -out ca.crt -days 2 -subj /CN=authority",
        f"req {new} -keyout server.key -out server.csr -subj /CN=localhost",
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.pem -days 2"
        " -extfile names.txt",
    ):
        subprocess.run(["openssl", *line.split()], cwd=folder, capture_output=True, check=True)


def key_pair(folder: Path, name: str) -> Path:
    """The private key NAME of a site; NAME.pub is beside it."""
    command = ["ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-f", str(folder / name)]
    subprocess.run(command, check=True)
    return folder / name
