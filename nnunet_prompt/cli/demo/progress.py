"""The output of a running command of the demo, as one line that changes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nnunet_prompt.training.progress import LINE

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

HEARTBEAT_S = 10.0


@contextmanager
def showing(console: Console) -> Iterator[Callable[[str], None]]:
    """On a terminal one line that changes, with the time that has gone and that a training has to go; elsewhere a line
    now and then."""
    from rich.markup import escape
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("[dim]{task.description}"))
    still = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=still) as progress:
        task = progress.add_task("")
        shown, how_far = time.monotonic(), ""

        def show(line: str) -> None:
            nonlocal shown, how_far
            found = LINE.search(line)  # of a training: its epoch, and the time left
            how_far = found[0] if found else how_far
            text = line if found or not how_far else f"{how_far} | {line}"
            progress.update(task, description=escape(text[: max(10, console.width - 15)]))
            if still and (found or time.monotonic() - shown > HEARTBEAT_S):
                console.print(how_far or line, style="dim", markup=False, soft_wrap=True)
                shown = time.monotonic()

        yield show
