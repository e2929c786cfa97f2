"""Which room imports which: a room is the first folder below the package, or a file beside those folders.

Every import counts, also one inside a function or for types alone. Files are read, not imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "nnunet_prompt"
FOLDERS = {  # of the repository, with their names as packages
    "nnunet_prompt": PACKAGE,
    "dataset_conversion": f"{PACKAGE}.dataset_conversion",
    "trainers": f"{PACKAGE}.trainers",
}
DOOR = "__init__"  # the room of `nnunet_prompt/__init__.py`

# The lowest floor first. A room imports rooms of lower floors, and no other room of its own floor.
FLOORS = (
    "common",
    "prompts",
    "io sliding_window",
    "data",
    "networks prompt_files",
    "inference",
    "dataset_conversion evaluation view",
    "training weights challenge",
    "learn trainers report federated",
    DOOR,
    "phantom",
    "cli",
    "__main__",
)
SHUT = ("phantom", "cli")  # no room below them imports them

Graph = dict[str, set[str]]


# Reads the imports ------------------------------------------------------------------------------------------------


def modules_in(root: Path) -> dict[str, Path]:
    """The file of each module of the package, by its full name."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            below = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join((package, *below))] = path
    return found


def imports_in(modules: Mapping[str, Path]) -> Graph:
    """The modules of the package that each of them imports, wherever in its file."""
    found: Graph = {}
    for name, path in modules.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        wanted = {w for node in ast.walk(tree) for w in _named(node, package)}
        ours = {w for w in wanted if w.split(".")[0] == PACKAGE and w != f"{PACKAGE}.__version__"}
        found[name] = {_module_of(w, modules) for w in ours} - {name}
    return found


def _named(node: ast.AST, package: str) -> Iterator[str]:
    """The full names that a node of a file of `package` imports: modules, or what is in them."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = package.split(".")
        base = parts[: len(parts) - node.level + 1] if node.level else []
        start = ".".join([*base, *([node.module] if node.module else [])])
        yield from (f"{start}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        text = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
        if isinstance(text, ast.Constant):  # of f"nnunet_prompt.phantom.{task}" the beginning
            yield str(text.value).rstrip(".")


def _module_of(name: str, modules: Mapping[str, Path]) -> str:
    """The module that is named or holds what is named."""
    while name not in modules and "." in name:
        name = name.rpartition(".")[0]
    return name


# Judges them ------------------------------------------------------------------------------------------------------


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else DOOR


def rooms_of(imports: Graph) -> Graph:
    """The rooms that each room imports."""
    found: Graph = {room_of(module): set() for module in imports}
    for module, others in imports.items():
        found[room_of(module)] |= {room_of(other) for other in others} - {room_of(module)}
    return found


def knots(graph: Graph) -> list[list[str]]:
    """The sets of nodes that all reach each other, without single nodes."""
    reached = {node: _reach(graph, node) for node in graph}
    found = {
        tuple(sorted(other for other in reached[node] if node in reached.get(other, ())))
        for node in graph
        if node in reached[node]
    }
    return sorted(map(list, found))


def _reach(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for other in graph.get(waiting.pop(), ()):
            if other not in seen:
                seen.add(other)
                waiting.append(other)
    return seen


def wrong_imports(imports: Graph, floors: Sequence[str]) -> list[str]:
    """A line for each import of a room that is not on a lower floor."""
    floor = {room: number for number, rooms in enumerate(floors) for room in rooms.split()}
    return [
        f"{module} imports {other}, which is not below it"
        for module, others in sorted(imports.items())
        for other in sorted(others)
        if room_of(module) != room_of(other) and floor[room_of(module)] <= floor[room_of(other)]
    ]


@pytest.fixture(scope="module")
def imports() -> Graph:
    return imports_in(modules_in(ROOT))


def test_every_room_has_a_floor(imports: Graph) -> None:
    assert sorted(rooms_of(imports)) == sorted(" ".join(FLOORS).split())


def test_no_knot_of_rooms(imports: Graph) -> None:
    assert knots(rooms_of(imports)) == []


def test_no_cycle_of_files(imports: Graph) -> None:
    assert knots(imports) == []


def test_no_import_goes_upwards(imports: Graph) -> None:
    assert wrong_imports(imports, FLOORS) == []


@pytest.mark.parametrize("room", SHUT)
def test_nobody_below_imports(imports: Graph, room: str) -> None:
    order = " ".join(FLOORS).split()
    above = order[order.index(room) + 1 :]
    users = {user for user, used in rooms_of(imports).items() if room in used}
    assert users <= set(above)


# The checks themselves --------------------------------------------------------------------------------------------

SMALL: Graph = {
    "nnunet_prompt.cli.main": {"nnunet_prompt.io.nifti", "nnunet_prompt.data.raw"},
    "nnunet_prompt.data.raw": {"nnunet_prompt.io.nifti", "nnunet_prompt.data.case"},
    "nnunet_prompt.data.case": set(),
    "nnunet_prompt.io.nifti": {"nnunet_prompt.common.errors"},
    "nnunet_prompt.common.errors": set(),
}
SMALL_FLOORS = ("common", "io", "data", "cli")


def test_a_house_in_order_passes() -> None:
    assert rooms_of(SMALL)["data"] == {"io"}
    assert knots(SMALL) == knots(rooms_of(SMALL)) == wrong_imports(SMALL, SMALL_FLOORS) == []


def test_an_import_upwards_is_found() -> None:
    """It ties a knot of rooms, but none of files."""
    bad = {**SMALL, "nnunet_prompt.io.nifti": {"nnunet_prompt.data.case"}}
    assert wrong_imports(bad, SMALL_FLOORS) == [
        "nnunet_prompt.io.nifti imports nnunet_prompt.data.case, which is not below it"
    ]
    assert knots(rooms_of(bad)) == [["data", "io"]]
    assert knots(bad) == []


def test_an_import_on_the_same_floor_is_found() -> None:
    assert wrong_imports(SMALL, ("common", "io data", "cli")) == [
        "nnunet_prompt.data.raw imports nnunet_prompt.io.nifti, which is not below it"
    ]


def test_a_cycle_of_files_in_one_room_is_found() -> None:
    bad = {**SMALL, "nnunet_prompt.data.case": {"nnunet_prompt.data.raw"}}
    assert knots(bad) == [["nnunet_prompt.data.case", "nnunet_prompt.data.raw"]]
    assert wrong_imports(bad, SMALL_FLOORS) == knots(rooms_of(bad)) == []


def test_imports_of_every_form_are_read(tmp_path: Path) -> None:
    files = {
        "nnunet_prompt/__init__.py": "",
        "nnunet_prompt/io/__init__.py": "",
        "nnunet_prompt/io/nifti.py": "import os.path, numpy as np\nfrom nnunet_prompt import __version__",
        "nnunet_prompt/io/atomic.py": "from . import nifti\nfrom ..common import errors",
        "nnunet_prompt/common/errors.py": "",
        "nnunet_prompt/__main__.py": "import nnunet_prompt.io.atomic as a",
        "trainers/__init__.py": "",
        "trainers/one.py": "from ..io.nifti import read\nfrom nnunet_prompt import evaluate",
        "dataset_conversion/__init__.py": "",
        "dataset_conversion/msd.py": (
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from nnunet_prompt.io import atomic\n"
            "def late(x):\n"
            "    from nnunet_prompt.common.errors import PromptError as E\n"
            "    importlib.import_module(f'nnunet_prompt.trainers.{x}')\n"
        ),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = imports_in(modules_in(tmp_path))
    assert {k: sorted(v) for k, v in found.items() if v} == {
        "nnunet_prompt.io.atomic": ["nnunet_prompt.common.errors", "nnunet_prompt.io.nifti"],
        "nnunet_prompt.__main__": ["nnunet_prompt.io.atomic"],
        "nnunet_prompt.trainers.one": ["nnunet_prompt", "nnunet_prompt.io.nifti"],
        "nnunet_prompt.dataset_conversion.msd": [
            "nnunet_prompt.common.errors",
            "nnunet_prompt.io.atomic",
            "nnunet_prompt.trainers",
        ],
    }
