"""The words of a phrase in one form each: "Hepatic structures in abdominal CT" has the words {"liver"}."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from dataclasses import dataclass
from functools import cache

LONG, LONGER = 5, 8  # letters of a word in which one, and two, slips are forgiven
MOST_READINGS = 64  # of a phrase with several slips

# Parts of the examination, not of what is meant: "abdominal CT", but not "abdominal aorta".
_PLACE = r"(?:whole[ -]body|abdominal|abdomen|chest|thoracic|thorax|pelvic|pelvis|head and neck|cardiac|heart|body)"
_KIND = (
    r"(?:cta?|mri?|cine|lge|ct[- ]?scans?|scans?|imag\w+|magnetic resonance|computed tomography|tomograph\w+"
    r"|volum\w+|region|cavity|studies|study|protocols?|sequences?|acquisitions?|examinations?)"
)
_OF_PLACE = r"(?:abdomen|whole body|entire body|body|chest|thorax|pelvis|head and neck)"
_CONTEXT = re.compile(
    rf"\b{_PLACE} (?={_KIND}\b)|\b(?:in|of|within|throughout|across|from) (?:the )?(?:whole |entire )?"
    rf"{_OF_PLACE}(?: region)?\b|\bintra[- ]abdominal\b"
    r"|\b(?:(?<=mr )|(?<=mri )|(?<=resonance ))t[12]\b(?! vertebra)"
    r"|\banatomical \w+(?: boundaries)?(?= (?:on|in)\b)"  # "showing anatomical folds on MR": what is seen of it
)
FILLERS = frozenset(
    """
    a an the of in on at to by via with within from for through throughout as is and using during this that
    ct cta mr mri cmr cine lge scan imaging image computed tomography tomographic magnetic resonance contrast enhanced
    signal intensity sequence study protocol acquisition examination dataset data volumetry volumetric volume
    multiplanar axial coronal sagittal cross sectional multiparametric functional spectroscopy modality radiologic
    structure structural anatomy anatomic anatomical tissue organ region area parenchyma parenchymal morphology
    architecture presence view
    showing show shown reveal revealing depict depicting depicted display displaying highlight highlighting
    demonstrate demonstrating visualize visualized visualizing visualise visualised visualization visualisation
    observe observed detect detected detection delineate delineated delineation segment segmented segmentation
    identify identified identification localize localized localization locate located assess assessed assessment
    characterize characterized characterization map mapped mapping document documented evaluate evaluated evaluation
    outline outlined outlining contour contoured contouring boundary border margin
    quantify quantified measure measured find based mask label target
    please me my all only entire complete human patient
    """.split()
)
# One form for words that mean the same in the name of a structure.
SAME = {
    **dict.fromkeys(("hepatic",), "liver"),
    **dict.fromkeys(("splenic", "lienal"), "spleen"),
    **dict.fromkeys(("renal", "nephric", "ren"), "kidney"),
    **dict.fromkeys(("pancreatic",), "pancreas"),
    **dict.fromkeys(("gastric",), "stomach"),
    **dict.fromkeys(("duodenal",), "duodenum"),
    **dict.fromkeys(("esophageal", "oesophageal", "oesophagus"), "esophagus"),
    **dict.fromkeys(("aortic",), "aorta"),
    **dict.fromkeys(("colonic",), "colon"),
    **dict.fromkeys(("prostatic",), "prostate"),
    **dict.fromkeys(("sacral",), "sacrum"),
    **dict.fromkeys(("tracheal",), "trachea"),
    **dict.fromkeys(("cerebral",), "brain"),
    **dict.fromkeys(("cardiac",), "heart"),
    **dict.fromkeys(("vesical",), "bladder"),
    **dict.fromkeys(("pulmonary", "pulmonic"), "lung"),
    **dict.fromkeys(("ventricular", "ventriculus"), "ventricle"),
    **dict.fromkeys(("atrial",), "atrium"),
    **dict.fromkeys(("myocardial", "muscular"), "myocardium"),
    **dict.fromkeys(("femoral",), "femur"),
    **dict.fromkeys(("humeral",), "humerus"),
    **dict.fromkeys(("scapular",), "scapula"),
    **dict.fromkeys(("clavicula", "clavicular"), "clavicle"),
    **dict.fromkeys(("vena", "venous", "veins"), "vein"),
    **dict.fromkeys(("arterial",), "artery"),
    **dict.fromkeys(("caval",), "cava"),
    **dict.fromkeys(("vertebrae", "vertebral"), "vertebra"),
    **dict.fromkeys(("lt", "l", "sinister", "sinistra"), "left"),
    **dict.fromkeys(("rt", "r", "dexter", "dextra"), "right"),
    **dict.fromkeys(("oedema",), "edema"),
    **dict.fromkeys(("infarcted",), "infarct"),
    **dict.fromkeys(("bloodpool",), "pool"),
    **{
        word: str(number)
        for number, word in enumerate(
            "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split(),
            1,
        )
    },
}
_SPLIT = re.compile(r"[a-z]+[0-9]+(?![a-z0-9])|[a-z]+|[0-9]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_KEPT = ("pancreas", "psoas", "iliopsoas", "pelvis", "us", "ss", "is")  # no plurals


@dataclass(frozen=True, slots=True)
class Asked:
    """The words of a phrase. `readings` are all ways to take them, several where a slip leaves a choice."""

    meant: frozenset[str]
    readings: tuple[frozenset[str], ...]
    notes: tuple[str, ...]


@cache
def plain(phrase: str) -> frozenset[str]:
    """The words of a name, or of an alias, in their one form."""
    return frozenset(word for word in _tokens(phrase) if word not in FILLERS)


def words(phrase: str, vocabulary: frozenset[str]) -> Asked:
    """The words of what a user typed; one that is in no `vocabulary` becomes the nearest that is."""
    choices, notes = [], []
    meant = plain(phrase)
    for word in sorted(meant):
        near = [word] if word in vocabulary else nearest(word, vocabulary | FILLERS)
        if near and near != [word]:
            notes.append(f"{word!r} read as {' or '.join(map(repr, near))}")
        choices.append(near or [word])
    if math.prod(map(len, choices)) > MOST_READINGS:  # a guess of so many is none
        return Asked(meant, (meant,), ())
    readings = {
        frozenset(one for one in taken if one not in FILLERS)
        for taken in itertools.product(*choices)
    }
    return Asked(meant, tuple(sorted(readings, key=sorted)), tuple(notes))


def nearest(word: str, vocabulary: frozenset[str]) -> list[str]:
    """The words that fewest slips lead to: none in short words, one from 5 letters on, two from 8 letters on."""
    allowed = 0 if len(word) < LONG or not word.isalpha() else 1 if len(word) < LONGER else 2
    by_slips: dict[int, list[str]] = {}
    for known in sorted(vocabulary):
        if known.isalpha() and len(known) >= LONG - 1 and abs(len(known) - len(word)) <= allowed:
            slips = distance(word, known)
            if slips <= allowed:
                by_slips.setdefault(slips, []).append(known)
    return by_slips[min(by_slips)] if by_slips else []


def distance(a: str, b: str) -> int:
    """Letters to add, drop, change or swap with their neighbour to make `b` of `a` (optimal string alignment)."""
    before, above = [0] * (len(b) + 1), list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, above = above, row
    return above[-1]


def _tokens(phrase: str) -> list[str]:
    text = unicodedata.normalize("NFKD", _CAMEL.sub(" ", phrase))
    text = "".join(c for c in text if not unicodedata.combining(c)).casefold()
    text = " ".join(text.replace("_", " ").replace("-", " ").split())
    found = []
    for word in _SPLIT.findall(_CONTEXT.sub(" ", text)):
        single = SAME.get(word, word)
        if single == word and word not in FILLERS:
            single = _singular(word)
        found.append(SAME.get(single, single))
    return found


def _singular(word: str) -> str:
    if len(word) < 5 or not word.endswith("s") or word.endswith(_KEPT):
        return word
    return word[:-3] + "y" if word.endswith("ies") else word[:-1]
