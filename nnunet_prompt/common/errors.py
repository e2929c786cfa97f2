"""The errors that users can fix, and how they are reported.

    NNUNetPromptError (ValueError)  anything a user can repair
    +-- PromptError               a prompt, or what is asked of one
    |   +-- PromptFileError       a prompts file that cannot be read as one
    +-- ImageError                an image or label file that cannot be used
    +-- DatasetError              a data set, its dataset.json or its plans
    +-- ModelError                a model folder or a checkpoint
    +-- OutputError               a file or folder that cannot be written, or must not be
    +-- RefusedError              a training that cannot work, refused at the start

Every message is one line and names the file, the key, what was expected, what was found and what to do.
The command line prints it without a traceback and ends with exit code 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class NNUNetPromptError(ValueError):
    """Something the user gave is wrong, and the message states what and how to repair it.

    All errors of the package are of this class, so that one `except` catches them:

        try:
            mask = predictor.predict("case_001.nii.gz", {500: Point((88, 97, 5))})
        except NNUNetPromptError as error:
            print(error)  # one line
    """


class PromptError(NNUNetPromptError):
    """A prompt is wrong: its coordinates, its label, its mask, or what the model cannot do with it."""


class PromptFileError(PromptError):
    """A prompts file is not readable, not JSON, or holds what a prompts file cannot hold."""


class ImageError(NNUNetPromptError):
    """An image or a label map cannot be read, or does not fit what it is used with."""


class DatasetError(NNUNetPromptError):
    """A data set, its dataset.json, its splits or its plans cannot be used."""


class ModelError(NNUNetPromptError):
    """A model folder or a checkpoint is missing, incomplete or not ours."""


class OutputError(NNUNetPromptError):
    """An output cannot be written (a full disc, a read-only place), or would take the place of an input."""


class RefusedError(NNUNetPromptError, SystemExit):
    """A training that cannot work is refused before it starts.

    It is also a `SystemExit`, because stock `nnUNetv2_train` catches nothing: so it ends with the one line of the
    message instead of a traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = message  # what the interpreter prints; the exit code is then 1


def system_reason(error: BaseException | None) -> str | None:
    """The reason that the operating system gives ("No space left on device"), from an error or its cause.

    None where the system refused nothing, as with a file that holds the wrong bytes.
    """
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return str(error.strerror)
        error = error.__cause__
    return None


def raise_system_error(error: BaseException) -> None:
    """Raises `NNUNetPromptError` with the system's reason if it refused something, so that no file is blamed for it."""
    reason = system_reason(error)
    if reason is None:
        return
    named = getattr(error, "filename", None)
    where = f"{named}: " if isinstance(named, str) else ""
    way_out = "; set TMPDIR to a folder that can be written" if "temporary" in reason else ""
    raise NNUNetPromptError(f"{where}{reason}{way_out}") from error


@contextmanager
def refusing() -> Iterator[None]:
    """Makes of what a check of ours raises the refusal of a training."""
    try:
        yield
    except NNUNetPromptError as error:
        raise RefusedError(str(error)) from None


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """The end of a message about a name that is not known: the names close to it, else those there are."""
    names = sorted(set(known))
    lower = {name.lower(): name for name in names}
    close = [
        lower[name] for name in difflib.get_close_matches(found.lower(), lower, n=3, cutoff=0.7)
    ]
    if close:
        return f"; did you mean {' or '.join(close)}?"
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    return f"; there are {shown}" if names else "; there are none"
