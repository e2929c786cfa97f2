"""Where the field's weights are published, by whom and under which licence. Pure data; nothing here is downloaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.networks.provenance import OWN_LICENCE, UNKNOWN_LICENCE

if TYPE_CHECKING:
    from rich.table import Table

OPENMIND = "CC BY 4.0"
INTERACTIVE = "CC BY-NC-SA 4.0"
APACHE = "Apache-2.0"


@dataclass(frozen=True, slots=True)
class KnownSource:
    """A model that its owners publish.

    `files` are (path below the target folder, address); none where the owners' page has to be visited by hand. A zip
    archive is unpacked. `size` is that of the download in bytes, about. `sha256` is that of the last file, "" where
    it is not known: the first download then writes it down beside the file.
    """

    name: str
    family: str
    page: str
    licence: str
    size: int
    architecture: str
    files: tuple[tuple[str, str], ...] = ()
    sha256: str = ""


_HUB = "https://huggingface.co"
_TOTAL = "https://github.com/wasserth/TotalSegmentator/releases/download/v2.0.0-weights"
_NNINTERACTIVE = f"{_HUB}/MIC-DKFZ/nnInteractive"
_OPENMIND = f"{_HUB}/AnonRes/ResEncL-OpenMind-MAE"
_RESENC_L = "residual encoder U-Net L, 102 M parameters"


def _total(number: int, task: str, size: int) -> KnownSource:
    archive = f"Dataset{number}_{task}.zip"
    return KnownSource(
        name=f"totalsegmentator-{number}",
        family="totalsegmentator",
        page="https://github.com/wasserth/TotalSegmentator",
        licence=APACHE,
        size=size,
        architecture=f"plain U-Net, {task}",
        files=((archive, f"{_TOTAL}/{archive}"),),
    )


SOURCES = (
    KnownSource(
        name="nninteractive-v1",
        family="nninteractive",
        page=_NNINTERACTIVE,
        licence=INTERACTIVE,
        size=411_400_000,
        architecture=f"{_RESENC_L}, patch 192, 7 prompt channels",
        files=tuple(
            (name, f"{_NNINTERACTIVE}/resolve/main/nnInteractive_v1.0/{name}")
            for name in (
                "LICENSE",
                "plans.json",
                "dataset.json",
                "inference_session_class.json",
                "fold_0/checkpoint_final.pth",
            )
        ),
    ),
    KnownSource(
        name="multitalent-v2",
        family="multitalent",
        page="https://zenodo.org/records/13753413",
        licence="see the record's page",
        size=0,
        architecture=f"{_RESENC_L}, 1 mm; 617 CT, 619 one stem per data set",
    ),
    _total(291, "TotalSegmentator_part1_organs_1559subj", 233_742_255),
    _total(292, "TotalSegmentator_part2_vertebrae_1532subj", 233_000_000),
    _total(293, "TotalSegmentator_part3_cardiac_1559subj", 233_000_000),
    _total(294, "TotalSegmentator_part4_muscles_1559subj", 233_000_000),
    _total(295, "TotalSegmentator_part5_ribs_1559subj", 233_000_000),
    _total(297, "TotalSegmentator_total_3mm_1559subj", 135_386_075),
    _total(298, "TotalSegmentator_total_6mm_1559subj", 134_827_240),
    KnownSource(
        name="openmind-mae",
        family="nnssl",
        page=_OPENMIND,
        licence=OPENMIND,
        size=410_000_000,
        architecture=f"{_RESENC_L}, encoder pre-trained on brain MR at 1 mm",
        files=(("checkpoint_final.pth", f"{_OPENMIND}/resolve/main/checkpoint_final.pth"),),
    ),
)


def known_source(name: str) -> KnownSource:
    """The source of that name. Raises `ModelError` for any other."""
    for source in SOURCES:
        if source.name == name:
            return source
    raise ModelError(
        f"no known source {name!r}: expected one of {', '.join(s.name for s in SOURCES)}"
    )


def default_licence(family: str, described: str) -> str:
    """The owners' licence where the files state none; "unknown ..." rather than a guess.

    `described` is "<data set>/<configuration>". Only what its owners published counts: nnInteractive's own
    configuration, nnssl on OpenMind, and the tasks of TotalSegmentator in the table (others are not open). Models of
    our trainers state no licence of their own: most often they are the user's.
    """
    if family == "nnunet_prompt":
        return OWN_LICENCE
    number = re.match(r"Dataset(\d+)_", described)
    names = {s.name for s in SOURCES}
    if family == "nninteractive" and described.endswith("/3d_fullres_ps192_bs24"):
        return INTERACTIVE
    if family == "nnssl" and re.search("OpenMind|OpenNeuro", described):
        return OPENMIND
    if family == "totalsegmentator" and number and f"totalsegmentator-{int(number[1])}" in names:
        return APACHE
    return UNKNOWN_LICENCE


def sources_table() -> Table:
    """The sources as a table for the terminal."""
    from rich.table import Table

    table = Table(title="weights that their owners publish")
    for column in ("name", "licence", "size", "architecture", "page"):
        table.add_column(column, overflow="fold")
    for source in SOURCES:
        size = f"{source.size / 1e6:.0f} MB" if source.size else "?"
        by_hand = "" if source.files else " (by hand)"
        table.add_row(source.name, source.licence, size, source.architecture, source.page + by_hand)
    return table
