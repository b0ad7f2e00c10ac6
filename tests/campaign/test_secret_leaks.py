"""The campaign of secrets can fail: a masker that holds nothing back or misses a form, and a drctl without one."""

import random
from collections.abc import Callable

import pytest

from drctl.adapters import secrets
from drctl.adapters.secrets import MaskedStream, Masker
from tests.campaign import secret_leaks

Patch = pytest.MonkeyPatch


def hold_nothing_back(patch: Patch) -> None:
    patch.setattr(MaskedStream, "feed", lambda self, data: self._give_all(data))
    patch.setattr(MaskedStream, "_give_all", _give_all, raising=False)


def _give_all(self: MaskedStream, data: bytes) -> bytes:
    self._held += data
    return self._give(len(self._held))


def know_no_encoded_form(patch: Patch) -> None:
    patch.setattr(secrets, "_encoded", lambda _: iter(()))


def mask_nothing(patch: Patch) -> None:
    patch.setattr(Masker, "text", lambda _self, text: text)


def forget_errors(patch: Patch) -> None:
    patch.setattr(secrets, "starred", lambda text: text)


@pytest.fixture
def no_run(monkeypatch: Patch) -> None:
    monkeypatch.setattr(secret_leaks, "_run", lambda *_: None)


@pytest.mark.usefixtures("no_run")
@pytest.mark.parametrize(
    ("sabotage", "promise"),
    [
        (hold_nothing_back, secret_leaks.CUT),
        (know_no_encoded_form, secret_leaks.LEAKS),
        (lambda patch: patch.setattr(secrets, "_LINE_END", b""), secret_leaks.LEAKS),
    ],
)
def test_a_broken_masker_is_noticed(
    monkeypatch: pytest.MonkeyPatch, sabotage: Callable[[Patch], None], promise: str
) -> None:
    sabotage(monkeypatch)
    assert secret_leaks.run(200, random.Random(1)).numbers[promise]


@pytest.mark.parametrize("sabotage", [mask_nothing, forget_errors])
def test_a_drctl_that_shows_secrets_is_noticed(
    monkeypatch: pytest.MonkeyPatch, sabotage: Callable[[Patch], None]
) -> None:
    monkeypatch.setattr(secret_leaks, "SABOTAGE", f"{__name__}:{sabotage.__name__}")
    assert secret_leaks.run(1, random.Random(1)).numbers[secret_leaks.LEAKS]
