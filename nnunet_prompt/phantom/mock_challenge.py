"""Mock challenge data: phantoms in the layout, names, values and defects of real downloads, and a test set.

    <target>/train/...            the training download, as the challenge packs it
    <target>/val/...              the validation download, which has no labels
    <target>/hidden_labels_val/   its masks, as they would be uploaded
    <target>/test/images/*.nii.gz, test/prompts.json     the input of a TFM4MedIA container
    <target>/hidden_labels/<Case ID>.nii.gz              what the container never sees
    <target>/mock_challenge.json       seed and options, the files of each case; `complete` once all of it is there

How a case looks depends on the seed, its centre and its number in the centre, and not on how many there are.
"""

from __future__ import annotations

import importlib
import logging
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.common.log import progress
from nnunet_prompt.phantom import test_set, val_set
from nnunet_prompt.phantom.defects import Injection
from nnunet_prompt.phantom.record import File, Record
from nnunet_prompt.phantom.scanner import Volume
from nnunet_prompt.phantom.val_set import ValSet

_log = logging.getLogger(__name__)

TRAIN, VAL, TEST = "train", "val", "test"
SHARE = 4  # one validation and one test case for so many training cases, and at least two


@dataclass(frozen=True, slots=True, eq=False)
class DrawnCase:
    """One case: what the training download holds of it, and all there is to know for a test set.

    `files` are those of the training download by their paths in it (partial labels, one or several sequences).
    `sequences` are the images that a test case has, by sequence; the only image of a case has the name "". `labels`
    are complete and hold official values, on the grid of the images (file frame).
    """

    case_id: str
    centre: str
    sequences: Mapping[str, Volume]
    labels: Volume
    files: Mapping[str, File]


@dataclass(frozen=True, slots=True)
class Defect:
    """A known defect of a download: `inject` gives the files of a case with the defect.

    `note` is part of the note of the converter about it, "" if there is none. Only cases of `centres` have
    it (empty: of any).
    """

    name: str
    inject: Injection
    note: str = ""
    centres: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MockChallenge:
    """How the downloads of a task are made.

    `centres` are those with training cases and how many the real download has; `test_centres` those of the test set,
    by rotation. `draw` makes a case from a generator, a centre of either and the number of the case in it, from 1.
    `rename` is a defect of the whole training download: another path for each of its files.
    """

    task: str
    centres: Mapping[str, int]
    test_centres: tuple[str, ...]
    draw: Callable[[np.random.Generator, str, int], DrawnCase]
    val: ValSet
    defects: tuple[Defect, ...] = ()
    rename: Callable[[PurePosixPath], PurePosixPath] | None = None

    def centres_of(self, part: str) -> tuple[str, ...]:
        """All centres of the training ("train"), validation ("val") or test cases ("test")."""
        return {TRAIN: tuple(self.centres), VAL: self.val.centres, TEST: self.test_centres}[part]


@dataclass(frozen=True, slots=True)
class Place:
    """A case before it is drawn: its centre, its number in the centre (from 1), and its defect if it has one."""

    centre: str
    number: int
    defect: Defect | None = None

    @property
    def key(self) -> str:
        """Its name within a part of the data."""
        return f"{self.centre} {self.number}"


def mock_challenge_for(task: str) -> MockChallenge:
    """The mock challenge "myops", "whs", "lascarqs" or "liqa": the `MOCK_CHALLENGE` of the module of that name."""
    module = importlib.import_module(f"nnunet_prompt.phantom.{task}")
    found: MockChallenge = module.MOCK_CHALLENGE
    return found


def write_mock_challenge(
    challenge: MockChallenge,
    target: Path,
    cases: int,
    *,
    centres: Sequence[str] = (),
    defects: bool = False,
    seed: int = 0,
) -> Path:
    """Writes so many training cases, a validation and a test set to `target` as above, and returns `target`.

    `centres` narrow each part to those of them that it has. A part that has none of them keeps all of its own, which
    a note states: so `B` for a task whose training data are all of A trains on A and tests on B. Training cases are in
    the shares of the real download. With `defects`, `rename` counts and each known defect is given to one training
    case, in the order of the cases. Existing files are kept, so a stopped run resumes; more cases may be asked
    for later. Raises `DatasetError` for fewer than one case, for a centre that no part has, and for a folder of
    another task, seed or other options.
    """
    if cases < 1:
        raise DatasetError(f"{target}: {cases} cases asked for, expected at least one")
    chosen = chosen_centres(challenge, centres)
    options = {"task": challenge.task, "seed": seed, "centres": chosen, "defects": defects}
    record = Record.open(target, options)
    _tell_of_defaults(challenge, centres, chosen)
    training = places(challenge, cases, centres=chosen[TRAIN], defects=defects)
    if defects:
        _warn_of_undealt(challenge, training)
    else:
        challenge = replace(challenge, rename=None)
    _write_training(record, challenge, training, seed=seed)
    _write_val(record, challenge, in_turn(chosen[VAL], cases), seed=seed)
    val_set.write_tables(target, challenge.val)
    _write_test(record, challenge, in_turn(chosen[TEST], cases), seed=seed)
    test_set.write_prompts(target, seed=seed)
    record.finish()
    return target


def chosen_centres(challenge: MockChallenge, centres: Sequence[str]) -> dict[str, list[str]]:
    """The centres of each part: those asked for that it has, or all of its own if it has none of them.

    Raises `DatasetError` for a centre that no part has.
    """
    own = {part: challenge.centres_of(part) for part in (TRAIN, VAL, TEST)}
    known = sorted({c for part in own.values() for c in part})
    for centre in centres:
        if centre not in known:
            raise DatasetError(
                f"--centres: {challenge.task} has no cases of centre {centre!r}, expected some of {', '.join(known)}"
            )
    return {
        part: [c for c in theirs if c in centres] or list(theirs) for part, theirs in own.items()
    }


def places(
    challenge: MockChallenge, cases: int, *, centres: Sequence[str], defects: bool = False
) -> list[Place]:
    """The training cases, each with its centre, number and defect: first one of each centre, then by their shares."""
    counts: Counter[str] = Counter()
    undealt = list(challenge.defects) if defects else []
    found = []
    for _ in range(cases):
        # the centre that is furthest behind its share; a centre without any case is behind all
        centre = min(centres, key=lambda c: counts[c] / challenge.centres[c])
        counts[centre] += 1
        fits = (d for d in undealt if not d.centres or centre in d.centres)
        defect = next(fits, None)
        if defect is not None:
            undealt.remove(defect)
        found.append(Place(centre, counts[centre], defect))
    return found


def in_turn(centres: Sequence[str], cases: int) -> list[Place]:
    """The validation or test cases beside so many training cases: of these centres by rotation, at least two."""
    count = max(2, -(-cases // SHARE))
    return [Place(centres[i % len(centres)], i // len(centres) + 1) for i in range(count)]


def _write_training(
    record: Record, challenge: MockChallenge, training: Sequence[Place], *, seed: int
) -> None:
    for name, place in _missing(record, challenge, TRAIN, training):
        case = challenge.draw(_generator(seed, name), place.centre, place.number)
        files: Mapping[str, File] = case.files
        about = {"case": case.case_id, "centre": case.centre}
        if place.defect is not None:
            files = place.defect.inject(_generator(seed, f"defect {place.key}"), files)
            about["defect"] = place.defect.name
        if challenge.rename is not None:
            files = {str(challenge.rename(PurePosixPath(path))): f for path, f in files.items()}
        record.add(name, {f"{TRAIN}/{path}": file for path, file in files.items()}, about)


def _write_val(
    record: Record, challenge: MockChallenge, cases: Sequence[Place], *, seed: int
) -> None:
    val = challenge.val
    numbers = dict(zip(cases, val.numbers(place.centre for place in cases), strict=True))
    for name, place in _missing(record, challenge, VAL, cases):
        case = val.draw(_generator(seed, name), place.centre, numbers[place])
        about = {"case": case.name, "centre": place.centre}
        record.add(name, val_set.files_of(case), about)


def _write_test(
    record: Record, challenge: MockChallenge, cases: Sequence[Place], *, seed: int
) -> None:
    ids = {place: f"Case ID{i}" for i, place in enumerate(cases, 1)}
    for name, place in _missing(record, challenge, TEST, cases):
        case = challenge.draw(_generator(seed, name), place.centre, place.number)
        about = {"case": ids[place], "centre": case.centre}
        record.add(name, test_set.files_of(ids[place], case.sequences, case.labels), about)


def _missing(
    record: Record, challenge: MockChallenge, part: str, cases: Sequence[Place]
) -> Iterator[tuple[str, Place]]:
    """The cases that are not written yet, with their names in the record."""
    for place in progress(cases, f"{challenge.task} {part}"):
        name = f"{part} {place.key}"
        if not record.holds(name):
            yield name, place


def _generator(seed: int, name: str) -> np.random.Generator:
    """The generator of a case; what is random in it does not depend on other cases."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _warn_of_undealt(challenge: MockChallenge, training: Sequence[Place]) -> None:
    dealt = {place.defect.name for place in training if place.defect}
    missing = [d.name for d in challenge.defects if d.name not in dealt]
    if missing:
        _log.info(
            f"note: {len(training)} cases of these centres do not show {', '.join(missing)}: take more cases (-n)"
        )


def _tell_of_defaults(
    challenge: MockChallenge, asked: Sequence[str], chosen: Mapping[str, Sequence[str]]
) -> None:
    names = {TRAIN: "training", VAL: "validation", TEST: "test"}
    for part, centres in chosen.items():
        if asked and not set(asked) & set(centres):
            _log.info(
                f"note: {challenge.task} has no {names[part]} cases of centre {', '.join(asked)}: they are of"
                f" {', '.join(centres)}"
            )
