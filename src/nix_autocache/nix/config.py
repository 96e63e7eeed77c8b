"""nix.conf: an include file of ours beside it, and a line in it that includes the file.

`remove` leaves nix.conf as it was, byte for byte. `value` and `check` are for what others wrote.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import InputError, RunnerError
from ..system import process
from ..system.files import make_directory, write_atomically
from . import secret_lines
from .store import Nix

_MARK: Final = "# nix-autocache: `nix-autocache undo` removes this line and the next"
_MARK_GLUED: Final = f"{_MARK}, and the line break before"
_DEEPEST: Final = 10  # files that include one another


@dataclass(frozen=True)
class Config:
    """A directory with a nix.conf: /etc/nix for the machine, ~/.config/nix for a user."""

    directory: Path

    @property
    def main(self) -> Path:
        return self.directory / "nix.conf"

    @property
    def include(self) -> Path:
        return self.directory / "nix-autocache.conf"

    @property
    def secret_include(self) -> Path:
        """What the include file includes: lines for the daemon that other users must not read.

        A Nix that may not open a file that it is to include goes on without, silently.
        """
        return self.directory / "nix-autocache-secret.conf"

    @property
    def fixed(self) -> bool:
        """Whether nobody can change it, root neither: it is in a store, as on NixOS, or its file system read-only."""
        place = Path(os.path.realpath(self.main)).parent
        in_store = place.is_relative_to("/nix/store")
        while not place.exists():
            place = place.parent
        return in_store or bool(os.statvfs(place).f_flag & os.ST_RDONLY)

    def write(self, lines: Iterable[str], *, private: bool = False) -> bool:
        """Make Nix read these lines; whether anything changed. `private` hides them from other users, and lines with
        a secret are hidden always.

        Raises RunnerError when the directory cannot be written.
        """
        public, secret = (list(lines), []) if private else secret_lines.split(lines)
        if secret:
            public.append(f"!include {self.secret_include}")
        text, hidden = _text(public), _text(secret) if secret else ""
        if self._read(self.include) == text and self._read(self.secret_include) == hidden and self._included:
            return False
        try:
            make_directory(self.directory, 0o755)
            if secret:
                write_atomically(self.secret_include, hidden.encode(errors="surrogateescape"), 0o600)
            _replace(self.include, text, 0o600 if private else 0o644)
            if not secret:
                self.secret_include.unlink(missing_ok=True)
            if not self._included:
                before = self._read(self.main)
                glued = bool(before) and not before.endswith("\n")
                _replace(self.main, before + self._lines(glued=glued), 0o644)
        except OSError as error:
            raise RunnerError(
                f"cannot write {self.directory}: {error.strerror}; Nix must be told of the hook there"
            ) from None
        return True

    def remove(self) -> bool:
        """Take our lines out again; whether there were any."""
        before = self._read(self.main)
        after = before.replace(self._lines(glued=True), "").replace(self._lines(glued=False), "")
        if after != before:
            _replace(self.main, after, 0o644) if after else self.main.unlink()
        existed = self.include.exists()
        self.include.unlink(missing_ok=True)
        self.secret_include.unlink(missing_ok=True)
        return existed or after != before

    def value(self, name: str) -> str | None:
        """What others have set a setting to here; None if they have not. Ours does not count."""
        found = None
        for key, text in self._settings(self.main, 0):
            if key == name:
                found = text
            elif key == f"extra-{name}":
                found = f"{found or ''} {text}".strip()
        return found

    def _settings(self, path: Path, depth: int) -> Iterator[tuple[str, str]]:
        for line in self._read(path).splitlines():
            words = line.partition("#")[0].split()
            if len(words) == 2 and words[0] in {"include", "!include"} and depth < _DEEPEST:
                included = path.parent / words[1]
                if included != self.include:
                    yield from self._settings(included, depth + 1)
            elif len(words) > 1 and words[1] == "=":
                yield words[0], " ".join(words[2:])

    def _lines(self, *, glued: bool) -> str:
        """What is added to nix.conf; glued to a last line that has no line break."""
        return f"\n{_MARK_GLUED}\n{self._include_line}" if glued else f"{_MARK}\n{self._include_line}"

    @property
    def _include_line(self) -> str:
        return f"!include {self.include}\n"

    @property
    def _included(self) -> bool:
        return self._include_line in self._read(self.main)

    @staticmethod
    def _read(path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return ""


def check(nix: Nix, text: str, name: str) -> Sequence[str]:
    """What Nix warns of in lines for nix.conf. Raises InputError, with the line, for what it would refuse.

    Must come before they are written: no Nix on this machine would run with a line that it cannot read.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    for number, line in lines:
        words = line.partition("#")[0].split()
        if words and not words[0].endswith("include") and (len(words) < 2 or words[1] != "="):
            raise InputError(f"{name}: line {number}: {_shown(line)!r} is not `name = value`")
    good, said = _try(nix, text)
    if good and not said:
        return []
    warnings = []
    for number, line in lines:
        good, said = _try(nix, line)
        if not good:
            raise InputError(f"{name}: line {number}: {_shown(line)!r}: {secret_lines.shown(line, said)}")
        if said:
            warnings.append(f"{name}: line {number}: {secret_lines.shown(line, said)}")
    return warnings


def effective(nix: Nix) -> Mapping[str, str]:
    """The settings of /etc/nix as Nix reads them, without those of the user who asks."""
    environ = {"PATH": os.defpath, "HOME": "/var/empty", "NIX_USER_CONF_FILES": ""}
    for words in (["config", "show"], ["show-config"]):  # the second until Nix 2.19
        command = [nix.program("nix"), "--extra-experimental-features", "nix-command", *words]
        done = process.run(command, environ=environ)
        if done.status == 0:
            lines = (line.partition(" = ") for line in done.output.splitlines())
            return {name.strip(): value.strip() for name, _, value in lines}
    return {}


def _shown(line: str) -> str:
    return secret_lines.shown(line, line)


def _text(lines: Sequence[str]) -> str:
    return "# written by nix-autocache; `nix-autocache undo` removes it\n" + "".join(f"{line}\n" for line in lines)


def _try(nix: Nix, text: str) -> tuple[bool, str]:
    """Whether Nix can run with these lines alone, and what it says of them."""
    empty = "/var/empty"  # a HOME too, since a number without an account has none
    environ = {"PATH": os.defpath, "HOME": empty, "NIX_CONF_DIR": empty, "NIX_USER_CONF_FILES": "", "NIX_CONFIG": text}
    command = [nix.program("nix-instantiate"), "--eval", "--expr", "1", "--store", "dummy://"]
    done = process.run(command, environ=environ)
    words = " ".join(done.error.split())
    return done.status == 0, words.removeprefix("error: ").removeprefix("warning: ")


def _replace(path: Path, text: str, mode: int) -> None:
    """Write a whole file at once: Nix may read it at any moment. A link is written through.

    A file that is there keeps its mode and, if root writes it, its owner.
    """
    target, owner = Path(os.path.realpath(path)), None
    with suppress(FileNotFoundError):
        status = target.stat()
        mode = stat.S_IMODE(status.st_mode)
        owner = (status.st_uid, status.st_gid) if os.geteuid() == 0 else None
    write_atomically(target, text.encode("utf-8", "surrogateescape"), mode, owner)
