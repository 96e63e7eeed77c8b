"""The programs that root will start although none runs now: by systemd, cron, udev and the like.

Units and tables of other users are left out. A user sees only what that user may read. Standard library only.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

_UNITS: Final = ("/etc", "/run", "/usr/local/lib", "/usr/lib")  # below each: systemd/system
_TABLES: Final = ("/etc/crontab", "/etc/cron.d")  # with a user in each line
_ROOTS_TABLES: Final = ("/var/spool/cron/crontabs/root", "/var/spool/cron/root", "/etc/anacrontab")
_OTHERS: Final = ("/etc/rc.local", "/etc/inittab", "/etc/udev/rules.d", "/etc/pam.d", "/etc/logrotate.d")
_LOADER: Final = ("/etc/ld.so.preload", "/etc/ld.so.conf", "/etc/ld.so.conf.d")
_KERNEL: Final = ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe")
_EXEC: Final = re.compile(r"^\s*(?:Exec\w+|EnvironmentFile)\s*=\s*([-@:+!|]*)(.*)$", re.MULTILINE)
_OTHER_USER: Final = re.compile(r"^\s*(User\s*=\s*(?!root\s*$|0\s*$)\S|DynamicUser\s*=\s*(yes|true|on|1)\s*$)", re.M)
_PATH: Final = re.compile(r"(?<![\w.$%/-])/(?!proc/|dev/|sys/)[^\s'\"`;,:|&<>()]+")
_ROOT: Final = frozenset({"root", "0"})


def programs() -> Iterator[str]:
    """Paths of these programs, and directories of the loader."""
    for text in _units().values():
        yield from _of_unit(text)
    for line in _lines(*_TABLES):
        words = line.split()
        user = 1 if line.startswith("@") else 5  # the column
        if len(words) > user + 1 and words[user] in _ROOT:
            yield from _files(" ".join(words[user + 1 :]))
        yield from _search_path(line)
    for line in _lines(*_ROOTS_TABLES):
        yield from _files(line)
        yield from _search_path(line)
    for line in _lines(*_OTHERS):  # these name data files, too
        yield from (path for path in _files(line) if os.access(path, os.X_OK))
    for line in _lines(*_LOADER):
        yield from (word for word in line.split() if word.startswith("/"))
    for line in _lines(*_KERNEL):
        yield from (word for word in line.lstrip("|").split()[:1] if word.startswith("/"))


def _units() -> Mapping[str, str]:
    """The text of each unit and its drop-ins, by name. The first of two files counts."""
    units: dict[str, str] = {}
    added: dict[str, str] = defaultdict(str)
    for start in _UNITS:
        for directory, _, names in os.walk(f"{start}/systemd/system"):
            for name in names:
                unit = os.path.basename(directory).removesuffix(".d")
                if directory.endswith(".d"):
                    added[unit] += f"\n{_read(Path(directory, name))}"
                elif name not in units:
                    units[name] = _read(Path(directory, name))
    return {name: units.get(name, "") + added.get(name, "") for name in (*units, *added)}


def _of_unit(text: str) -> Iterator[str]:
    """Of another user's unit only the commands whose prefix makes root run them."""
    others = bool(_OTHER_USER.search(text))
    for signs, command in _EXEC.findall(text):
        if not others or {"+", "!"}.intersection(signs):
            yield from _files(command)


def _files(text: str) -> Iterator[str]:
    """The paths in a command that are files, and its first word even if no file is there yet."""
    for match in _PATH.finditer(text):
        if os.path.isfile(match[0]) or (match.start() == 0 and not os.path.exists(match[0])):
            yield match[0]


def _search_path(line: str) -> Iterator[str]:
    name, equals, value = line.partition("=")
    if equals and name.strip() == "PATH":
        yield from (part for part in value.strip(" \"'").split(":") if part.startswith("/"))


def _lines(*names: str) -> Iterator[str]:
    """The lines of files, and of the files in directories, without comments."""
    for name in map(Path, names):
        listed: list[Path] = [name]
        with suppress(OSError):
            listed = sorted(name.iterdir())
        for path in listed:
            yield from (line.strip() for line in _read(path).splitlines() if not line.lstrip().startswith("#"))


def _read(path: Path) -> str:
    with suppress(OSError):
        if path.is_file():
            return path.read_text(encoding="utf-8", errors="surrogateescape")
    return ""
