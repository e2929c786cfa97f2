"""What `import nnunet_prompt` offers."""

from __future__ import annotations

import ast
import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import nnunet_prompt
from tests.helpers.each import each

ROOT = Path(nnunet_prompt.__file__).parent
PUBLIC = [
    "Box",
    "DatasetError",
    "EvaluateOptions",
    "ImageError",
    "ModelError",
    "NNUNetPromptError",
    "OutputError",
    "Point",
    "PredictOptions",
    "PromptError",
    "PromptFileError",
    "PromptPredictor",
    "PromptSession",
    "PromptSet",
    "RefusedError",
    "Scribble",
    "__version__",
    "evaluate",
    "save_mask",
    "simulate_prompts",
]
HEAVY = ("numpy", "torch", "nibabel", "scipy", "pydantic", "nnunetv2", "importlib.metadata")


def test_what_is_public() -> None:
    assert nnunet_prompt.__all__ == PUBLIC
    assert set(PUBLIC) <= set(dir(nnunet_prompt))


@each("name", [n for n in PUBLIC if n != "__version__"])
def test_every_name_is_there_and_documented(name: str) -> None:
    found = getattr(nnunet_prompt, name)
    assert found.__name__ == name and found.__module__.startswith("nnunet_prompt.")
    assert found.__doc__ and not found.__doc__.startswith(f"{name}(")


@each(
    "name",
    [
        *("Box", "EvaluateOptions", "Point", "PredictOptions", "PromptSet", "Scribble"),
        *("evaluate", "simulate_prompts"),
    ],
)
def test_the_examples_of_docstrings_run(name: str) -> None:
    """Those that need a model are in docs/python.md."""
    found = getattr(nnunet_prompt, name)
    names = vars(importlib.import_module(found.__module__)).copy()
    (test,) = (t for t in doctest.DocTestFinder(recurse=False).find(found, name, globs=names))
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text("utf-8"))
    (block,) = (n for n in tree.body if isinstance(n, ast.If))
    seen = {
        alias.asname or alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen - {"Any"} == set(PUBLIC) - {"__version__"}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names:
            assert getattr(nnunet_prompt, alias.name).__module__ == node.module


def test_importing_is_light_and_names_come_when_they_are_used() -> None:
    code = (
        "import sys, nnunet_prompt as n\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])\n"
        "n.NNUNetPromptError\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])\n"
        "n.Point\n"
        "print('numpy' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]", "True False"]


def test_another_name_is_no_attribute() -> None:
    name = "PromptSessions"
    with pytest.raises(AttributeError, match="has no attribute 'PromptSessions'"):
        getattr(nnunet_prompt, name)


def test_all_errors_have_one_base_and_prompts_their_own() -> None:
    base = nnunet_prompt.NNUNetPromptError
    assert base.__mro__[1] is ValueError
    for name in PUBLIC:
        if name.endswith("Error"):
            assert issubclass(getattr(nnunet_prompt, name), base)
    about_prompts = nnunet_prompt.PromptError
    assert issubclass(nnunet_prompt.PromptFileError, about_prompts)
    others = ("DatasetError", "ImageError", "ModelError", "OutputError", "RefusedError")
    assert not any(issubclass(getattr(nnunet_prompt, name), about_prompts) for name in others)


def test_prompts_raise_the_error_of_prompts() -> None:
    about_prompts = nnunet_prompt.PromptError
    with pytest.raises(about_prompts, match="expected three numbers"):
        nnunet_prompt.Point((1, 2))  # type: ignore[arg-type]
    with pytest.raises(about_prompts, match="positive: expected True or False"):
        nnunet_prompt.Point((1, 2, 3), positive="no")  # type: ignore[arg-type]
    with pytest.raises(about_prompts, match="every lower corner"):
        nnunet_prompt.Box((2, 2, 2), (1, 3, 3))
    with pytest.raises(nnunet_prompt.NNUNetPromptError, match="step size") as error:
        nnunet_prompt.PredictOptions(step_size=2)
    assert not isinstance(error.value, about_prompts)


ROOMS_OF_PROMPTS = ("prompts", "prompt_files")


def test_our_own_code_catches_the_base() -> None:
    """`except PromptError` would let the errors of images, models and outputs pass."""
    for path in [*ROOT.rglob("*.py"), *(ROOT.parent / "dataset_conversion").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                names = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)}
                assert "PromptError" not in names, f"{path}: line {node.lineno}"
