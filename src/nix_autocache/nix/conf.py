"""nix.conf: an include file of ours beside it, and a line in it that includes the file.

`remove` leaves nix.conf as it was, byte for byte. `value` and `check` are for what others wrote.
A nix.conf that nobody can change, such as a link into the store, is refused and stays as it is.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import InputError, RunnerError
from ..system import process
from ..system.files import make_directory, write_atomically, write_in_place
from . import secret_lines
from .store import Nix

_MARK: Final = "# nix-autocache: `nix-autocache undo` removes this line and the next"
_MARK_GLUED: Final = f"{_MARK}, and the line break before"
_IN_PLACE: Final = frozenset({errno.EBUSY, errno.EACCES, errno.EPERM})
_DEEPEST: Final = 10  # files that include one another
_STORE: Final = Path("/nix/store")
_CUSTOM: Final = "nix.custom.conf"  # Determinate Nix writes nix.conf anew; people's settings belong in here


@dataclass(frozen=True)
class NixConf:
    """A directory with a nix.conf: /etc/nix for the machine, ~/.config/nix for a user. `name` is that of another file
    that NIX_USER_CONF_FILES names instead, and `aside` the directory for the include file, where it is another one."""

    directory: Path
    name: str = "nix.conf"
    aside: Path | None = None

    @property
    def main(self) -> Path:
        """The file that gets our line: the one beside nix.conf that is there for people's settings, if it has one."""
        plain, custom = self.directory / self.name, self.directory / _CUSTOM
        return custom if custom in self._included_by(plain) else plain

    @property
    def include(self) -> Path:
        return (self.aside or self.directory) / "nix-autocache.conf"

    @property
    def secret_include(self) -> Path:
        """What the include file includes: lines for the daemon that other users must not read.

        A Nix that may not open a file that it is to include goes on without, silently.
        """
        return self.include.with_name("nix-autocache-secret.conf")

    @property
    def fixed(self) -> bool:
        """Whether nobody can change it, root neither: it is in a store, as on NixOS, or its file system read-only."""
        return bool(self._obstacle)

    @property
    def _obstacle(self) -> str:
        """Why nobody can change it; empty if somebody can."""
        for path in (self.main, self.include):
            real = Path(os.path.realpath(path))
            if real.is_relative_to(_STORE):
                return f"{path} is in the Nix store, as NixOS and home-manager make it"
            if any(
                os.statvfs(place).f_flag & os.ST_RDONLY for place in (real, _existing(real.parent)) if place.exists()
            ):
                return f"{path} is on a file system that is read-only"
        return ""

    def write(self, lines: Iterable[str], *, private: bool = False) -> bool:
        """Make Nix read these lines; whether anything changed. `private` hides them from other users, and lines with
        a secret are hidden always.

        Raises RunnerError when the directory cannot be written.
        """
        public, secret = (list(lines), []) if private else secret_lines.split(lines)
        if secret:  # before what adds to a list, which a line that sets it would take away
            adds = [number for number, line in enumerate(public) if line.startswith("extra-")]
            public.insert(min(adds, default=len(public)), f"!include {self.secret_include}")
        text, hidden = _text(public), _text(secret) if secret else ""
        if self._read(self.include) == text and self._read(self.secret_include) == hidden and self._included:
            return False
        if reason := self._obstacle:
            raise RunnerError(f"{reason}: Nix cannot be told of cache and hook there")
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
        changed = [self._take_out(self.directory / name) for name in (self.name, _CUSTOM)]
        existed = self.include.exists()
        for path in (self.include, self.secret_include):
            if path.exists():  # or a read-only file system would complain
                path.unlink()
        return existed or any(changed)

    def _take_out(self, main: Path) -> bool:
        before = self._read(main)
        glued = self._lines(glued=True)
        # The line break is not ours any more where somebody has written on after it.
        after = before.replace(glued, "" if before.endswith(glued) else "\n").replace(self._lines(glued=False), "")
        if after != before:
            _replace(main, after, 0o644) if after else main.unlink()
        return after != before

    def value(self, name: str) -> str | None:
        """What others have set a setting to here; None if they have not. Ours does not count."""
        found = None
        for key, text in self._settings(self.main, 0):
            if key == name:
                found = text
            elif key == f"extra-{name}":
                found = f"{found or ''} {text}".strip()
        return found

    def files(self) -> list[Path]:
        """All that Nix reads for this nix.conf, also what is not there yet, but for files of ours."""
        found, left = [], [self.directory / self.name]
        while left:
            found.append(path := left.pop())
            ours = {self.include, self.secret_include, *found}
            left += [each for each in dict.fromkeys(self._included_by(path)) if each not in ours]
        return found

    def _included_by(self, path: Path) -> list[Path]:
        lines = (line.partition("#")[0].split() for line in self._read(path).splitlines())
        return [path.parent / words[1] for words in lines if len(words) == 2 and words[0] in {"include", "!include"}]

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
        odd = "#" in str(self.include) or len(str(self.include).split()) > 1  # Nix takes each blank for an end
        return f"!include {self.include.name if odd else self.include}\n"

    @property
    def _included(self) -> bool:
        return self._include_line in self._read(self.main)

    @staticmethod
    def _read(path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return ""


MACHINE: Final = NixConf(Path("/etc/nix"))


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


def _existing(directory: Path) -> Path:
    """A directory, or the first one above it that is there."""
    while not directory.exists():
        directory = directory.parent
    return directory


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

    A file that is there keeps its mode and, if root writes it, its owner. Only the file itself is written where it is
    a mount, as a container may have its nix.conf, or where this user can change the file and not its directory.
    """
    target, owner = Path(os.path.realpath(path)), None
    with suppress(FileNotFoundError):
        status = target.stat()
        mode = stat.S_IMODE(status.st_mode)
        owner = (status.st_uid, status.st_gid) if os.geteuid() == 0 else None
    data = text.encode("utf-8", "surrogateescape")
    try:
        write_atomically(target, data, mode, owner)
    except OSError as error:
        if error.errno not in _IN_PLACE or not os.access(target, os.W_OK):
            raise
        write_in_place(target, data)
