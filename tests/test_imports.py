"""The command line answers at once because it imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "torch",
    "nnunetv2",
    "scipy",
    "numpy",
    "matplotlib",
    "nibabel",
    "SimpleITK",
    "pydantic",
    "rich",
    "pandas",
    "starlette",
    "uvicorn",
)


def _loaded_after(statement: str) -> list[str]:
    """Those of `HEAVY` that a fresh interpreter has loaded after `statement`."""
    code = f"import sys\n{statement}\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return result.stdout.splitlines()[-1].split()


def test_the_check_notices_a_heavy_import() -> None:
    assert _loaded_after("import numpy") == ["numpy"]


def test_importing_the_command_line_is_light() -> None:
    assert _loaded_after("import nnunet_prompt.cli.main") == []


def test_help_of_a_verb_is_light() -> None:
    ask = "import nnunet_prompt.cli.main as c\ntry: c.main(['predict', '--help'])\nexcept SystemExit: pass"
    assert _loaded_after(ask) == []


def test_help_of_a_converter_is_light() -> None:
    ask = (
        "import nnunet_prompt.cli.main as c\n"
        "try: c.main(['convert', 'myops', '--help'])\nexcept SystemExit: pass"
    )
    assert _loaded_after(ask) == []


def test_help_of_training_is_light() -> None:
    ask = (
        "import nnunet_prompt.cli.main as c\ntry: c.main(['train', '-h'])\nexcept SystemExit: pass"
    )
    assert _loaded_after(ask) == []


def test_help_of_the_weights_is_light() -> None:
    ask = (
        "import nnunet_prompt.cli.main as c\n"
        "try: c.main(['weights', 'adapt', '--help'])\nexcept SystemExit: pass"
    )
    assert _loaded_after(ask) == []


def test_env_is_light() -> None:
    assert _loaded_after("import nnunet_prompt.cli.main as c\nc.main(['env'])") == []
