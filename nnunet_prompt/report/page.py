"""Fills the templates: every value is escaped, and the page names nothing outside itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.io.atomic import make_folder, replacing

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


def write_page(template: str, output: Path, **values: Any) -> None:
    """Writes a template of the folder `templates` as UTF-8. Raises `OutputError` where that cannot be."""
    text = _environment().get_template(template).render(**values)
    make_folder(output.parent)
    with replacing(output) as partial:  # names of files may hold bytes that are no text
        partial.write_text(text, encoding="utf-8", errors="replace")


def check_page(output: Path) -> None:
    """Raises `NNUNetPromptError` for the name of a file that no browser would open as a page."""
    if not output.name.lower().endswith((".html", ".htm")):
        raise NNUNetPromptError(f"{output}: expected the name of an HTML file, such as report.html")


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # our own files and charts, which are made of escaped text
    environment.globals["own_file"] = lambda name: Markup(
        (TEMPLATES / name).read_text(encoding="utf-8")
    )
    environment.filters["chart"] = lambda chart: Markup(chart.svg)
    return environment
