"""Environments of their own for programs that read what we write and whose pins are not ours.

Such an environment is made once and kept where continuous integration keeps its environments, under a name made of the
requirements and of the interpreter. What it needs and the environment that runs the tests has as well is taken from
there; other versions are installed into it and come first.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

BUILT = "complete"
WANTED = "NNUNET_PROMPT_LARGE_ENVIRONMENTS"  # without it they are used where they are, and not made


def python_with(*requirements: str) -> Path:
    """The interpreter of an environment that meets `requirements`. Skips the test where it cannot be made."""
    folder = _folder(requirements)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (folder / BUILT).is_file():
        if not os.environ.get(WANTED):
            pytest.skip(f"{WANTED}=1 installs {requirements[0]} into an environment of its own")
        shutil.rmtree(folder, ignore_errors=True)
        _must([sys.executable, "-m", "venv", str(folder)], "no environment can be made")
        (own,) = (Path(p) for p in _lines(python) if p.endswith("site-packages"))
        places = [p for p in sys.path if p.endswith("site-packages")]
        lines = [f"import site; site.addsitedir({place!r})" for place in places]
        (own / "zz_tests.pth").write_text("\n".join(lines) + "\n")
        install = [str(python), "-m", "pip", "install", "-q", *requirements]
        _must(install, f"{requirements[0]} cannot be installed")
        (folder / BUILT).touch()
    os.utime(folder)  # environments that were not used for long are removed
    return python


def _lines(python: Path) -> list[str]:
    """Where an interpreter looks for modules."""
    command = [str(python), "-c", "import sys; print(*sys.path, sep='\\n')"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _folder(requirements: Sequence[str]) -> Path:
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nnunet_prompt"
    cache = Path(os.environ.get("NNUNET_PROMPT_CACHE") or default)
    text = f"{requirements} {sys.version} {sys.prefix}"
    about = hashlib.sha256(text.encode()).hexdigest()[:12]
    (name,) = re.findall(r"^[\w-]+", requirements[0])
    return cache / f"venv-{name}-{about}"


def _must(command: list[str], reason: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"{reason}: {last[:200]}")
