"""An environment of its own for Flower, keys and certificates for a federation on this machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.own_environment import python_with

ROOT = Path(__file__).parents[2]


def flower_python() -> Path:
    """The interpreter of an environment with Flower, made where it is wanted. Skips the test where there is none."""
    if sys.version_info < (3, 11):
        pytest.skip("Flower needs Python 3.11 or later")
    return python_with(pinned())


def pinned() -> str:
    """The requirement of the extra `federated`."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^federated = \["(flwr[^;"]+)', text, re.MULTILINE)
    assert found is not None
    return found[1].strip()


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
