"""The command line answers at once because it imports nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STANDARD = ("typing", "enum", "datetime", "contextlib")
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


def names_that_3_10_lacks(source: str) -> list[str]:
    """Names that a module imports from the standard library when it is loaded, and that Python 3.10 does not have."""
    late = {"NotRequired", "Required", "Self", "Never", "LiteralString", "Unpack", "override"}
    late |= {"assert_never", "assert_type", "reveal_type", "StrEnum", "ReprEnum", "UTC", "chdir"}
    found = []
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.ImportFrom) and node.module in STANDARD:
            found += [a.name for a in node.names if a.name in late]
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name == "tomllib"]
        waiting += ast.iter_child_nodes(node)
    return found


def test_no_module_needs_more_than_python_3_10() -> None:
    folders = ("nnunet_prompt", "dataset_conversion", "trainers", "container")
    files = [p for folder in folders for p in (ROOT / folder).rglob("*.py")]
    found = {str(p): names_that_3_10_lacks(p.read_text(encoding="utf-8")) for p in files}
    assert {path: names for path, names in found.items() if names} == {}
    assert names_that_3_10_lacks("from typing import Any, Self\nimport tomllib") == [
        "tomllib",
        "Self",
    ]
    guarded = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from typing import Self"
    assert names_that_3_10_lacks(guarded) == []
