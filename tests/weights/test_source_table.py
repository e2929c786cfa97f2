"""The table of known sources: names, licences, and that an unknown licence is never guessed."""

from __future__ import annotations

import pytest

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.networks.provenance import OWN_LICENCE, UNKNOWN_LICENCE
from nnunet_prompt.weights.families import _READERS
from nnunet_prompt.weights.source_table import SOURCES, default_licence, known_source, sources_table
from tests.helpers.each import each


def test_names_are_unique_and_families_are_read() -> None:
    names = [source.name for source in SOURCES]
    assert len(names) == len(set(names))
    assert {source.family for source in SOURCES} <= set(_READERS)
    for source in SOURCES:
        assert source.page.startswith("https://") and source.licence and source.architecture
        assert source.sha256 == "" or len(source.sha256) == 64
        assert all(address.startswith("https://") for _, address in source.files)


def test_an_unknown_name_lists_the_known() -> None:
    assert known_source("openmind-mae").family == "nnssl"
    with pytest.raises(ModelError, match="no known source 'x': expected one of nninteractive-v1"):
        known_source("x")


@each(
    ("family", "described", "licence"),
    [
        ("nninteractive", "Dataset225_x/3d_fullres_ps192_bs24", "CC BY-NC-SA 4.0"),
        ("nninteractive", "Dataset001_mine/3d_fullres", UNKNOWN_LICENCE),
        ("nnssl", "Dataset745_OpenMind/onemmiso", "CC BY 4.0"),
        ("nnssl", "Dataset001_Mine/onemmiso", UNKNOWN_LICENCE),
        ("totalsegmentator", "Dataset291_TotalSegmentator_part1_organs_1559subj/3d", "Apache-2.0"),
        ("totalsegmentator", "Dataset301_heart_highres_1559subj/3d_fullres", UNKNOWN_LICENCE),
        ("totalsegmentator", "none", UNKNOWN_LICENCE),
        ("nnunet", "Dataset291_Mine/3d_fullres", UNKNOWN_LICENCE),
        ("multitalent", "Dataset617_x/3d_fullres", UNKNOWN_LICENCE),
        ("nnunet_prompt", "Dataset501_Tiny/3d_fullres", OWN_LICENCE),
    ],
)
def test_the_licence_of_a_model_that_tells_none(family: str, described: str, licence: str) -> None:
    assert default_licence(family, described) == licence


def test_the_table_shows_every_source() -> None:
    table = sources_table()
    assert table.row_count == len(SOURCES)
    cells = list(table.columns[4].cells)
    assert [c for c in cells if str(c).endswith("(by hand)")] == [
        "https://zenodo.org/records/13753413 (by hand)"
    ]
