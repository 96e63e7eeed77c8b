"""How `init` and `check` show what they do: colours on terminals, where the library for them is there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nix_autocache.onboarding.terminal import PlainTerminal

SOURCE = Path(__file__).parents[3] / "src"
SHOW = """
from nix_autocache.onboarding.terminal import terminal
shown = terminal(as_json=False)
print(type(shown).__name__)
shown.checked("it answers", works=False, advice="[bold]no markup, and no key cache-1:" + "A" * 86 + "==")
"""


@pytest.mark.parametrize(("options", "kind"), [([], "ColourTerminal"), (["-S"], "PlainTerminal")], ids=["rich", "bare"])
def test_a_terminal_without_the_library_gets_plain_lines(options: list[str], kind: str) -> None:
    """`check` runs in environments without the extra `init`."""
    ours, theirs = os.openpty()
    env = {"PYTHONPATH": str(SOURCE), "TERM": "xterm"}
    try:
        subprocess.run([sys.executable, *options, "-c", SHOW], env=env, stdout=theirs, check=True)
        said = os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert said.startswith(kind)
    assert ("\x1b[" in said) == (kind == "ColourTerminal")
    assert "it answers: [bold]no markup, and no key cache-1:…" in said


def test_no_answer_is_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-D at the question."""
    ours, theirs = os.openpty()
    with (
        os.fdopen(theirs, "r+b", buffering=0),
        os.fdopen(ours, "wb", buffering=0) as person,
        open(theirs, closefd=False) as stdin,
    ):
        monkeypatch.setattr(sys, "stdin", stdin)
        person.write(b"\x04")
        assert not PlainTerminal().ask("Carry it out?")
