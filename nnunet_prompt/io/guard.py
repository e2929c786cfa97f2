"""Inputs are never written to: an output that is one of them, or would be taken for one, is refused.

Files count as the same by their inode, so neither another spelling nor a link hides an input. A new folder for masks
inside a folder of images is fine where subfolders are not searched, and so is a JSON file beside label maps: neither
can be taken for an input. Nothing is read here; folders are listed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from nnunet_prompt.common.errors import NNUNetPromptError, OutputError, system_reason

# The endings of images and checkpoints, which our readers take from a folder of inputs.
INPUT_ENDINGS = (
    *(".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".png", ".bmp", ".tif", ".tiff"),
    *(".jpg", ".jpeg", ".hdr", ".img", ".dcm", ".npz", ".npy", ".b2nd", ".pkl", ".pth", ".pt"),
)
# Files of a data set or a model; other JSON and CSV files beside the inputs are outputs of an earlier run.
DESCRIPTIONS = (
    *("dataset.json", "plans.json", "prompt_capability.json", "dataset_fingerprint.json"),
    *("splits_final.json", "cases.json"),
)
_RESULTS = (".json", ".csv", ".zip")


def check_output_file(output: Path, inputs: Iterable[Path], *, option: str = "-o") -> None:
    """Raises `OutputError` if `output` is a folder, one of the `inputs`, or a file of an input folder.

    In an input folder a new file is fine unless its name ends like an input's, and so is a table of an earlier run.
    A file that describes a data set or a model is never replaced, wherever it is. Inputs that are not there are left
    to those who read them.
    """
    if output.is_dir():
        raise OutputError(f"{output}: is a folder, expected a file to write with {option}")
    for one in inputs:
        if _same(output, one):
            raise _refused(output, f"is the input {one}", option)
        if one.is_dir() and lies_in(output, one) and _like_an_input(output):
            raise _refused(output, f"lies among the inputs in {one}", option)
        if one.is_dir() and _has_links(output):
            for found in _files(one):
                if _same(output, found):
                    raise _refused(output, f"is the input {found}", option)
    if _describes(output.name) and output.exists():
        raise _refused(output, "describes a data set or a model", option)


def check_output_folder(
    output: Path,
    inputs: Iterable[Path],
    *,
    searched: Iterable[Path] = (),
    option: str = "-o",
) -> None:
    """Raises `OutputError` if writing files into the folder `output` could touch one of the `inputs`.

    These are files, or folders of which the files directly in them are read. Refused are the folder of an input, a
    folder that holds one under any name, and a folder inside one of those that are `searched` to the bottom.
    """
    inputs = [one for one in inputs if one.exists()]
    for one in inputs:
        if _same(output, one if one.is_dir() else one.parent) and _read_from_folder(one):
            raise _refused(
                output, f"holds the input {one}" if one.is_file() else "is an input", option
            )
    for one in searched:
        if lies_in(output, one, itself=True):
            raise _refused(output, f"lies in the input {one}", option)
    if output.is_dir():
        files = (file for one in inputs for file in _files(one))
        masks = (p for p in _files(output) if p.name.lower().endswith(INPUT_ENDINGS))
        check_targets(masks, files, option=option)


def check_targets(targets: Iterable[Path], inputs: Iterable[Path], *, option: str = "-o") -> None:
    """Raises `OutputError` if one of the `targets`, files that will be written, is one of the input files."""
    known = {_identity(file): file for file in inputs if file.exists()}
    for target in targets:
        found = known.get(_identity(target)) if target.exists() else None
        if found is not None:
            raise _refused(target, f"is the input {found}", option)


def model_folders(model: Path) -> list[Path]:
    """The folders of a trained model that outputs must keep out of; none if `model` holds no plans."""
    if not (model / "plans.json").is_file():
        return []
    return [model, *(path for path in sorted(model.glob("fold_*")) if path.is_dir())]


def model_folders_of(source: Path) -> list[Path]:
    """The same for a model folder, or for a checkpoint that lies in a fold of one."""
    return model_folders(source) or model_folders(Path(os.path.realpath(source)).parent.parent)


def lies_in(path: Path, folder: Path, *, itself: bool = False) -> bool:
    """Whether a path lies in a folder, at any depth, whatever the spelling of either."""
    real = Path(os.path.realpath(path))
    above = (path.parent, real, *real.parents) if itself else (path.parent, *real.parents)
    return any(_same(one, folder) for one in above)


def _refused(output: Path, why: str, option: str) -> OutputError:
    way_out = f"another place with {option}" if option.startswith("-") else option
    return OutputError(f"{output}: {why}, which is never written to: give {way_out}")


def _read_from_folder(one: Path) -> bool:
    """Whether an output folder that holds this input is refused: a table or a prompts file in it is no mask."""
    return one.is_dir() or one.name.lower().endswith(INPUT_ENDINGS)


def _like_an_input(output: Path) -> bool:
    name = output.name.lower()
    foreign = output.exists() and not name.endswith(_RESULTS)
    return name.endswith(INPUT_ENDINGS) or name in DESCRIPTIONS or foreign


def _describes(name: str) -> bool:
    """Whether a file of this name describes a data set or a model, as nnU-Net names them (nnUNetResEncLPlans.json)."""
    known = name in DESCRIPTIONS and name != "cases.json"  # a name that results have, too
    return known or (name.startswith("nnUNet") and "Plans" in name and name.endswith(".json"))


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:  # one of them is not there
        return os.path.realpath(a) == os.path.realpath(b)


def _has_links(path: Path) -> bool:
    try:
        return path.is_symlink() or path.stat().st_nlink > 1
    except OSError:
        return False


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _files(path: Path) -> Iterator[Path]:
    """The file itself, or the files directly in a folder.

    Raises `NNUNetPromptError` for a folder that cannot be listed.
    """
    if not path.is_dir():
        yield path
        return
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise NNUNetPromptError(f"{path}: cannot be listed: {system_reason(error)}") from error
    yield from (entry for entry in entries if entry.is_file())
