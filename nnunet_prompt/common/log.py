"""Log lines and progress bars, which share stderr and leave each other whole.

Modules log to `logging.getLogger(__name__)` and configure nothing. A command line attaches the one handler with
`log_on_stderr`; who uses the package from Python attaches their own. A logger "nnunet_prompt" that is set above INFO
silences the progress bars too.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

PACKAGE = "nnunet_prompt"
SCRIPT = "__main__"  # the name of a module of ours that is run by `python -m`
_PREFIXES = {logging.WARNING: "warning: ", logging.ERROR: "error: "}

Item = TypeVar("Item")


class _Lines(logging.Handler):
    """Writes a line per record to what is `sys.stderr` at that time, above the bars that are drawn there."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        try:
            tqdm.write(_PREFIXES.get(record.levelno, "") + self.format(record), file=sys.stderr)
        except Exception:
            self.handleError(record)


@contextmanager
def log_on_stderr(level: int = logging.INFO, *, script: bool = False) -> Iterator[None]:
    """Shows on stderr what the package logs from `level` on, while the block runs; of a `script` also its own lines."""
    handler = _Lines()
    loggers = [logging.getLogger(name) for name in ((PACKAGE, SCRIPT) if script else (PACKAGE,))]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, before in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(before)


def is_quiet() -> bool:
    """Whether only warnings and errors are wanted."""
    return logging.getLogger(PACKAGE).level > logging.INFO


def progress(items: Iterable[Item], title: str, **options: Any) -> Iterator[Item]:
    """The items one by one, with a progress bar; `options` are those of `progress_bar`."""
    return iter(progress_bar(title, iterable=items, **options))


def progress_bar(title: str, *, hidden: bool = False, unit: str = "case", **options: Any) -> Any:
    """A bar of tqdm on stderr: none where that is no terminal, `is_quiet`, or it is `hidden`."""
    from tqdm import tqdm

    disable = True if hidden or is_quiet() else None
    return tqdm(desc=title, unit=unit, file=sys.stderr, disable=disable, **options)


@contextmanager
def warnings_only() -> Iterator[None]:
    """Within the block nothing of the library below a warning is logged."""
    logger = logging.getLogger(PACKAGE)
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
