"""The self-test notices what is wrong with an answer."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_prompt.cli.doctor.self_test import self_test
from nnunet_prompt.inference.session import PromptSession

pytestmark = pytest.mark.slow


def test_passes_here() -> None:
    (check,) = self_test()
    assert check.status in ("ok", "warning"), check


def test_a_click_outside_its_mask_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    real = PromptSession.predict

    def empty(self: PromptSession) -> np.ndarray:
        return np.zeros_like(real(self))

    monkeypatch.setattr(PromptSession, "predict", empty)
    (check,) = self_test()
    assert check.status == "broken"
    assert "the click lies outside its mask" in check.found
    assert "report it" in check.advice


def test_a_mask_on_another_grid_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    real = PromptSession.predict
    monkeypatch.setattr(PromptSession, "predict", lambda self: real(self).swapaxes(0, 2))
    from nnunet_prompt.cli.doctor.check import looked

    (check,) = looked("self-test", self_test)  # saving it is refused, too
    assert check.status == "broken"
