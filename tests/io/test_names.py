"""Names that look alike are equal, whichever way Unicode spells them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from nnunet_prompt.io.names import as_stored, composed, entry_of

NFC, NFD = (unicodedata.normalize(form, "M\u00fcller.nii.gz") for form in ("NFC", "NFD"))


def test_two_spellings_of_one_name() -> None:
    assert NFC != NFD and composed(NFC) == composed(NFD) == NFC
    assert entry_of({NFD: 1}, NFC) == 1 and entry_of({NFD: 1}, "a") is None


def test_a_file_is_found_as_the_file_system_spells_it(tmp_path: Path) -> None:
    assert as_stored(tmp_path / NFC) == tmp_path / NFC  # there is none
    (tmp_path / NFD).touch()
    assert as_stored(tmp_path / NFC) == tmp_path / NFD
    (tmp_path / NFC).touch()
    assert as_stored(tmp_path / NFC) == tmp_path / NFC
    assert as_stored(tmp_path / "none" / NFC) == tmp_path / "none" / NFC
