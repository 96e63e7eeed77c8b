"""nix.conf: our settings are in an include file beside it, and one line of nix.conf includes that file.

`remove` restores nix.conf byte for byte. `foreign_value` reads the settings of others. A nix.conf that nobody can
change, such as a link into the store, is refused.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..errors import RunnerError
from ..system.dataclass import dataclass
from ..system.files import make_directory, write_atomically, write_in_place
from . import conf_text, secret_lines

_MARK: Final = "# nix-autocache: `nix-autocache undo` removes this line and the next"
_MARK_AFTER_BREAK: Final = f"{_MARK}, and the line break before"
_IN_PLACE: Final = frozenset({errno.EBUSY, errno.EACCES, errno.EPERM})
_STORE: Final = Path("/nix/store")
_CUSTOM: Final = "nix.custom.conf"  # Determinate Nix rewrites nix.conf, and leaves this file to people


@dataclass(frozen=True)
class NixConf:
    """A directory with a nix.conf: /etc/nix for the machine, ~/.config/nix for a user.

    `name` is another file if NIX_USER_CONF_FILES names one. `aside` is the directory for the include file if it is
    another one.
    """

    directory: Path
    name: str = "nix.conf"
    aside: Path | None = None

    @property
    def main(self) -> Path:
        """The file that gets our line: nix.conf, or nix.custom.conf if nix.conf includes that."""
        plain, custom = self.directory / self.name, self.directory / _CUSTOM
        return custom if custom in conf_text.included(plain) else plain

    @property
    def include(self) -> Path:
        return (self.aside or self.directory) / "nix-autocache.conf"

    @property
    def secret_include(self) -> Path:
        """Included by the include file: lines for the daemon that other users must not read.

        A Nix that may not open an included file silently ignores it.
        """
        return self.include.with_name("nix-autocache-secret.conf")

    @property
    def is_fixed(self) -> bool:
        """True if not even root can change it: it is in the store, as on NixOS, or its file system is read-only."""
        return bool(self._obstacle)

    @property
    def _obstacle(self) -> str:
        """The reason why nobody can change it; empty if there is none."""
        for path in (self.main, self.include):
            real = Path(os.path.realpath(path))
            if real.is_relative_to(_STORE):
                return f"{path} is in the Nix store, as NixOS and home-manager make it"
            if any(os.statvfs(each).f_flag & os.ST_RDONLY for each in (real, _existing(real.parent)) if each.exists()):
                return f"{path} is on a read-only file system"
        return ""

    def write(self, lines: Iterable[str], *, private: bool = False) -> bool:
        """Make Nix read these lines. True if a file changed. Raises RunnerError if the directory cannot be written.

        Other users cannot read lines with a secret, and no line at all if `private`.
        """
        public, secret = (list(lines), []) if private else secret_lines.split(lines)
        if secret:  # before lines that add to a list, since a later line that sets it would drop these
            adds = [number for number, line in enumerate(public) if line.startswith("extra-")]
            public.insert(min(adds, default=len(public)), f"!include {self.secret_include}")
        text, hidden = _text(public), _text(secret) if secret else ""
        if conf_text.read(self.include) == text and conf_text.read(self.secret_include) == hidden and self._included:
            return False
        if reason := self._obstacle:
            raise RunnerError(f"{reason}: cache and hook cannot be configured there")
        try:
            make_directory(self.directory, 0o755)
            if secret:
                write_atomically(self.secret_include, hidden.encode(errors="surrogateescape"), 0o600)
            _replace(self.include, text, 0o600 if private else 0o644)
            if not secret:
                self.secret_include.unlink(missing_ok=True)
            if not self._included:
                before = conf_text.read(self.main)
                break_first = bool(before) and not before.endswith("\n")
                _replace(self.main, before + self._lines(break_first=break_first), 0o644)
        except OSError as error:
            raise RunnerError(
                f"cannot write {self.directory}: {error.strerror}; the hook is configured there"
            ) from None
        return True

    def remove(self) -> bool:
        """Remove our lines and files. True if there were any."""
        changed = [self._remove_lines(self.directory / name) for name in (self.name, _CUSTOM)]
        existed = self.include.exists()
        for path in (self.include, self.secret_include):
            if path.exists():  # unlink fails on a read-only file system
                path.unlink()
        return existed or any(changed)

    def _remove_lines(self, main: Path) -> bool:
        before = conf_text.read(main)
        with_break = self._lines(break_first=True)
        # The line break stays if others have added lines after ours.
        after = before.replace(with_break, "" if before.endswith(with_break) else "\n")
        after = after.replace(self._lines(break_first=False), "")
        if after != before:
            _replace(main, after, 0o644) if after else main.unlink()
        return after != before

    def foreign_value(self, name: str) -> str | None:
        """The value of a setting in this nix.conf, without our include file; None if it is not set."""
        found = None
        for key, text in conf_text.settings(self.main, without=self.include):
            if key == name:
                found = text
            elif key == f"extra-{name}":
                found = f"{found or ''} {text}".strip()
        return found

    def files(self) -> list[Path]:
        """All files that Nix reads for this nix.conf, missing ones included, without ours."""
        found, left = [], [self.directory / self.name]
        while left:
            found.append(path := left.pop())
            ours = {self.include, self.secret_include, *found}
            left += [each for each in dict.fromkeys(conf_text.included(path)) if each not in ours]
        return found

    def _lines(self, *, break_first: bool) -> str:
        """Our lines in nix.conf. `break_first`: its last line has no line break, so ours begin with one."""
        return f"\n{_MARK_AFTER_BREAK}\n{self._include_line}" if break_first else f"{_MARK}\n{self._include_line}"

    @property
    def _include_line(self) -> str:
        odd = "#" in str(self.include) or len(str(self.include).split()) > 1  # a path ends at a blank
        return f"!include {self.include.name if odd else self.include}\n"

    @property
    def _included(self) -> bool:
        return self._include_line in conf_text.read(self.main)


MACHINE: Final = NixConf(Path("/etc/nix"))


def _existing(directory: Path) -> Path:
    """The directory, or the nearest one above it that exists."""
    while not directory.exists():
        directory = directory.parent
    return directory


def _text(lines: Sequence[str]) -> str:
    return "# written by nix-autocache; `nix-autocache undo` removes it\n" + "".join(f"{line}\n" for line in lines)


def _replace(path: Path, text: str, mode: int) -> None:
    """Replace a file in one step, since Nix may read it at any moment. A link stays, and its target is replaced.

    An existing file keeps its mode and, if root writes it, its owner. The file is written in place if it cannot be
    replaced: it is a mount, as in a container, or this user may not write its directory.
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
