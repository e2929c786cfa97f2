"""The page of the public interface, made from docstrings and from the comments beside fields."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import nnunet_prompt
from website.undocumented import Undocumented

HEAD = """# API

Made from the docstrings of what `nnunet_prompt` exports. Start with [nnunet_prompt in Python](../python.md).
"""


def api_page() -> str:
    """The page, in Markdown. Raises `Undocumented` for a public name without docstring."""
    names = [name for name in nnunet_prompt.__all__ if name != "__version__"]
    return "\n".join([HEAD, *(part for name in names for part in _entry(name))]) + "\n"


def _entry(name: str) -> Iterator[str]:
    found = getattr(nnunet_prompt, name)
    yield f"\n## {name} {{#{name}}}\n"
    error = inspect.isclass(found) and issubclass(found, Exception)
    yield (
        f"```python\n{signature(name, found)}\n```\n"
        if not error
        else (f"An error; its base is `{found.__mro__[1].__name__}`.\n")
    )
    yield described(name, found) + "\n"
    if not inspect.isclass(found) or error:
        return
    if dataclasses.is_dataclass(found):
        yield from _fields(found)
    for method, function in methods(found):
        yield f"### {name}.{method} {{#{name}.{method}}}\n"
        if not isinstance(function, property):
            yield f"```python\n{signature(method, function)}\n```\n"
        yield described(f"{name}.{method}", function) + "\n"


def described(name: str, found: Any) -> str:
    """The docstring of an object, as Markdown."""
    text = inspect.getdoc(found)
    if not text or (inspect.isclass(found) and not vars(found).get("__doc__")):
        raise Undocumented(f"{name}: a public name without docstring")
    return text.replace("<", "&lt;")


def methods(found: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties of a class, in the order of its source."""
    for name, value in vars(found).items():
        function = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        if not name.startswith("_") and (
            inspect.isfunction(function) or isinstance(value, property)
        ):
            yield name, function


def signature(name: str, found: Any) -> str:
    """The signature on one line, or one parameter a line where it is long."""
    given = inspect.signature(found)
    parameters = [str(p) for p in given.parameters.values() if p.name != "self"]
    kinds = [p.kind for p in given.parameters.values() if p.name != "self"]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        parameters.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    returned = given.return_annotation
    given_back = (
        "" if returned is inspect.Signature.empty or inspect.isclass(found) else f" -> {returned}"
    )
    line = f"{name}({', '.join(parameters)}){given_back}"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {p},\n" for p in parameters) + f"){given_back}"


def _fields(found: type) -> Iterator[str]:
    notes = field_notes(found)
    rows = []
    for field in dataclasses.fields(found):
        default = "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
        if field.default_factory is not dataclasses.MISSING:
            default = f" = {field.default_factory()!r}"
        shown = f"{field.name}: {field.type}{default}".replace("|", r"\|")
        rows.append(f"| `{shown}` | {notes.get(field.name, '').replace('|', chr(92) + '|')} |")
    yield "\n".join(["| field | is |", "|---|---|", *rows]) + "\n"


def field_notes(found: type) -> dict[str, str]:
    """The comment beside or above each field of a class."""
    source = textwrap.dedent(inspect.getsource(found))
    lines = source.splitlines()
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    notes = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            beside = [
                line.partition("#")[2].strip()
                for line in lines[node.lineno - 1 : node.end_lineno]
                if "#" in line
            ]
            notes[node.target.id] = " ".join(beside) or " ".join(_above(lines, node.lineno - 1))
    return notes


def _above(lines: list[str], number: int) -> list[str]:
    found: list[str] = []
    while number and lines[number - 1].strip().startswith("#"):
        number -= 1
        found.insert(0, lines[number].strip().lstrip("# "))
    return found
