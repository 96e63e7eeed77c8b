"""The commit that what `init` writes is pinned by."""

import pytest

from nix_autocache.errors import InputError
from nix_autocache.onboarding import own_commit
from nix_autocache.system import version

COMMIT = "a" * 40


def test_the_flag_comes_before_the_programs_own_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "commit", lambda: "b" * 40)
    assert own_commit.pinned(COMMIT) == COMMIT
    assert own_commit.pinned("") == "b" * 40


def test_without_any_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "commit", lambda: "")
    with pytest.raises(InputError, match="--action-ref"):
        own_commit.pinned("")
