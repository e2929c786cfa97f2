"""The names of files and folders in CARE downloads, as converters and uploads both read them.

Patterns match the whole of a file's stem unless they are documented as searched for.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

HEART_FILE = re.compile(r"(?P<case>.+?)[_ ](?P<part>image|label)", re.IGNORECASE)
SHORT_AXIS_FILE = re.compile(r"(?P<case>.+?)[_ ](?P<part>C0|LGE|DE|T2|gd|cine)", re.IGNORECASE)

# Folders of the left atrium, to be matched in the form that `plain_name` gives them.
ATRIUM_CASE = re.compile(r"(?:(?P<part>train|val|test)[ _-]*)?(?P<number>\d+)")
# Searched for: task 1 has scar, task 2 the cavity alone.
ATRIUM_TASKS: Mapping[int, re.Pattern[str]] = MappingProxyType(
    {
        1: re.compile(r"task[ _-]*1(?!\d)|scar quantification"),
        2: re.compile(r"task[ _-]*2(?!\d)|cavity segmentation"),
    }
)
# Searched for: the CT task of 2026, `atriumct`.
ATRIUM_CT = re.compile(r"(?<![a-z])ct(?![a-z])|task[ _-]*3(?!\d)|multi-structure")


def plain_name(name: str) -> str:
    """Lower case, one blank for many, and ASCII signs for full-width ones."""
    return " ".join(unicodedata.normalize("NFKC", name).lower().split())
