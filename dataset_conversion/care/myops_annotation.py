"""The annotated structures of a MyoPS case: by its label values, then its sequences, then a table per release.

A structure whose value is present is annotated. Scar is looked for in LGE, edema in T2 only; LGE alone without
myocardium and cavity shows scar and nothing else. Of the rest the table of the release states whether the centre draws
it; where there is no table, a structure that is not seen is unknown. Letters of centres mean other sites in other
releases, so a letter without its release decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType

STRUCTURE_OF: Mapping[int, str] = MappingProxyType(
    {200: "myocardium", 500: "lv", 600: "rv", 1220: "edema", 2221: "scar", 1: "scar"}
)
_ANATOMY = ("myocardium", "lv", "rv")
_ALL = frozenset({*_ANATOMY, "edema", "scar"})
_NO_EDEMA = _ALL - {"edema"}
_2024 = {
    "A": frozenset({"myocardium", "lv", "scar"}),
    **dict.fromkeys("BCD", _ALL),
    **dict.fromkeys("EFG", _NO_EDEMA),
}
# the structures that each centre draws, per release; 2026 gives out the centres of 2025 again
RELEASES: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "2020": {"MyoPS2020": _ALL},
        "2024": _2024,
        "2025": {**_2024, "H": frozenset({"scar"})},
    }
)
_CENTRE = re.compile(r"cent(?:er|re)[ _-]*([A-H])", re.IGNORECASE)
_NUMBER = re.compile(r"Case([1-8])\d{3}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Annotation:
    """The structures that a case annotates, its centre (None: unknown), and lines for the user."""

    annotated: frozenset[str]
    centre: str | None
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def pathology_read(self) -> bool:
        """Whether scar and edema were both looked for, so that 200 is healthy myocardium."""
        return self.annotated >= {"scar", "edema"}


def annotation_of(
    case: str, label_path: str, values: Sequence[int], sequences: Sequence[str]
) -> Annotation:
    """The structures that a case annotates. `values` are those of its label map, `label_path` is relative to the
    download.
    """
    seen = {STRUCTURE_OF[v] for v in values if v in STRUCTURE_OF}
    release, centre = release_and_centre(case, label_path)
    drawn = RELEASES[release].get(centre or "", frozenset())
    annotated = seen | ({"scar"} if "LGE" in sequences else set())
    annotated |= {"edema"} if "T2" in sequences else set()
    scar_only = list(sequences) == ["LGE"] and not seen & {"myocardium", "lv"}
    if not scar_only:
        annotated |= drawn & set(_ANATOMY)
    if annotated >= {"scar", "edema", "myocardium"}:
        annotated |= {"myocardium_healthy"}
    strange = sorted(seen - drawn) if drawn else []
    notes = [f"{n} is labelled, which centre {centre} does not do in {release}" for n in strange]
    if not seen:
        notes.append("the label map is empty")
    problems = []
    if "edema" in seen and "T2" not in sequences:
        problems.append("edema (1220) is labelled without T2, expected it only where T2 exists")
    return Annotation(frozenset(annotated), centre, tuple(notes), tuple(problems))


def release_and_centre(case: str, path: str) -> tuple[str, str | None]:
    """The release that names and folders belong to, and the centre that they show.

    Without a folder of a centre its letter is read from the number of the case (Case2013: B), which holds for training
    cases only: names of validation cases are anonymous.
    """
    if re.match(r"myops_(training|test)", case, re.IGNORECASE):
        return "2020", "MyoPS2020"
    folders = PurePosixPath(path).parts[:-1]
    for folder in folders:
        found = _CENTRE.fullmatch(folder.strip())
        if found:
            return "2025", found[1].upper()
    number = _NUMBER.fullmatch(case)
    return "2024", "ABCDEFGH"[int(number[1]) - 1] if number else None
