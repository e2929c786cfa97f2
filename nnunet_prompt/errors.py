"""What can go wrong, and how the user hears of it.

    PromptError (ValueError)      anything a user can mend
    +-- PromptFileError           a prompts file that cannot be read as one
    +-- ImageError                an image or label file that cannot be used
    +-- DatasetError              a data set, its dataset.json or its plans
    +-- ModelError                a model folder or a checkpoint
    +-- RefusedError              a training that cannot work, refused at the start

Every message is one line and names the file, the key, what was expected, what was found and what to do.
The command line prints it without a traceback and ends with exit code 1.
"""

from __future__ import annotations


class PromptError(ValueError):
    """Something the user gave is wrong, and the message says what and how to mend it."""


class PromptFileError(PromptError):
    """A prompts file is not readable, not JSON, or holds what a prompts file cannot hold."""


class ImageError(PromptError):
    """An image or a label map cannot be read, or does not fit what it is used with."""


class DatasetError(PromptError):
    """A data set, its dataset.json, its splits or its plans cannot be used."""


class ModelError(PromptError):
    """A model folder or a checkpoint is missing, incomplete or not ours."""


class RefusedError(PromptError, SystemExit):
    """A training that cannot work is refused before it starts.

    It is also a `SystemExit`, because stock `nnUNetv2_train` catches nothing: so it ends with the one line of the
    message instead of a traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = message  # what the interpreter prints; the exit code is then 1
