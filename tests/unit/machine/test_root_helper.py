"""Root's half as a process: one line in, one line out. The verbs that change a machine are in tests/integration."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nix_autocache.errors import InputError, RunnerError
from nix_autocache.machine import root, root_helper

REQUEST: dict[str, Any] = {"request": {}, "environ": {}}


ENVIRON = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PATH": os.environ["PATH"]}


def command(verb: str) -> list[str]:
    return [sys.executable, "-sSP", "-m", root_helper.__name__, verb]


def answer(verb: str, directory: Path, **more: Any) -> dict[str, Any]:
    """`directory` gets the traceback of a mistake."""
    environ, given = {**ENVIRON, "TMPDIR": str(directory)}, json.dumps({**REQUEST, **more}) + "\n"
    done = subprocess.run(command(verb), input=given, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_an_answer_is_one_line(tmp_path: Path) -> None:
    found = answer("programs", tmp_path)
    assert set(found) == {"answer"}
    assert all(isinstance(name, str) for name in found["answer"])


@pytest.mark.parametrize(
    ("verb", "request_", "kind"),
    [("remove", {}, "KeyError"), ("install", {"url": "file:///x"}, "KeyError"), ("no-such-verb", {}, "KeyError")],
)
def test_a_mistake_of_ours_is_an_answer_too(tmp_path: Path, verb: str, request_: dict[str, str], kind: str) -> None:
    found = answer(verb, tmp_path, request=request_)
    assert set(found) == {"error", "input"}
    assert found["input"] is False
    assert f"unexpected {kind} in root_helper.py" in found["error"]


def test_what_follows_the_request_is_left_for_the_process_that_a_verb_starts() -> None:
    """The uploader's parameters, with its key, come on the same pipe."""
    reading, writing = os.pipe()
    os.write(writing, json.dumps(REQUEST).encode() + b"\n" + b"a line for the uploader\n")
    os.close(writing)
    subprocess.run(command("programs"), stdin=reading, env=ENVIRON, stdout=subprocess.DEVNULL, check=True, timeout=60)
    with open(reading, "rb") as rest:
        assert rest.read() == b"a line for the uploader\n"


SUDO = {
    "no answer": ("echo 'sudo: a password is required' >&2; exit 1", RunnerError, "root: sudo: a password is required"),
    "no word": ("exit 1", RunnerError, "root: it said nothing"),
    "an error of the verb": ("""echo '{"error": "no space", "input": false}'""", RunnerError, "no space"),
    "an error of an input": ("""echo '{"error": "no URL", "input": true}'""", InputError, "no URL"),
}


@pytest.mark.parametrize(("script", "kind", "says"), SUDO.values(), ids=SUDO)
def test_an_error_of_root_s_half_is_raised_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, kind: type[Exception], says: str
) -> None:
    (tmp_path / "sudo").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # root needs no sudo
    with pytest.raises(kind, match=says):
        root.call("namespaces", {}, {})
