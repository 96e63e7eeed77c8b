"""The file that nix.conf includes: the lines of all jobs, and the hook that one of them asks for.

Each job has its own file in `Paths.parts`; `render` makes the include file, the hook and nix.conf's line from them.
The caller holds the lock. Standard library only.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..nix.conf import MACHINE, NixConf
from ..queue import hook
from ..system.files import close_to_others, make_directory, write_atomically
from .paths import Paths

HOOK_SETTING: Final = "post-build-hook"


def write_part(paths: Paths, name: str, lines: Iterable[str]) -> None:
    """Replace a job's lines. They may hold access tokens."""
    make_directory(paths.parts, 0o700)
    close_to_others(paths.parts)
    write_atomically(paths.parts / name, "".join(f"{line}\n" for line in lines), 0o600)


def drop_lines(paths: Paths, name: str, text: str) -> None:
    """Remove those of a job's lines that contain a text, if it has any."""
    with suppress(FileNotFoundError):
        lines = (paths.parts / name).read_text(encoding="utf-8").splitlines()
        write_part(paths, name, [line for line in lines if text not in line])


def is_empty(paths: Paths) -> bool:
    return not any(_parts(paths))


def sets_hook(paths: Paths) -> bool:
    return any(HOOK_SETTING in part for part in _parts(paths))


def render(paths: Paths, *, private: bool) -> bool:
    """Write the include file and the hook; remove the file where no job has lines. Returns whether it changed.

    `private` hides it from other users.
    """
    if is_empty(paths):
        changed = [config.remove() for config in _written(paths)]
        return any(changed)
    lines, others = merge(_parts(paths), str(paths.hook))
    if f"{HOOK_SETTING} = {paths.hook}" in lines:  # Nix must never be pointed at a hook that is not there
        previous = [*_previous_hook(paths), *others]
        hook.install(paths.hook, jobs=paths.jobs, roots=paths.roots, others=previous)
    _record_written(paths)
    return paths.config.write(lines, private=private)


def merge(parts: Iterable[str], ours: str) -> tuple[list[str], list[str]]:
    """The lines of all jobs without duplicates, and the other hooks among them. Where our own hook is among the lines,
    it replaces the others and calls them.

    `extra-` lines come last: a line that sets a list, of whichever job, would discard what was added before it.
    """
    lines = list(dict.fromkeys(line for part in parts for line in part.splitlines()))
    hooks = {line: value for line in lines if (value := _hook_of(line)) is not None}
    others = []
    if ours in hooks.values():
        others = [value for value in hooks.values() if value not in {"", ours}]
        lines = [line for line in lines if hooks.get(line, ours) == ours]
    return sorted(lines, key=lambda line: line.lstrip().startswith("extra-")), others


def is_private(paths: Paths) -> bool:
    """Whether other users cannot read the include file."""
    with suppress(OSError):
        return not paths.config.include.stat().st_mode & stat.S_IROTH
    return False


def _parts(paths: Paths) -> Iterator[str]:
    with suppress(FileNotFoundError):
        for path in sorted(paths.parts.iterdir()):
            if not path.name.startswith("."):
                yield path.read_text(encoding="utf-8")


def _hook_of(line: str) -> str | None:
    """The hook that a line of nix.conf sets; None if it sets something else."""
    name, _, value = line.partition("#")[0].partition("=")
    return value.strip() if name.strip() == HOOK_SETTING else None


def _previous_hook(paths: Paths) -> list[str]:
    """The hook that somebody else configured: here, or on the machine where `paths` are a user's."""
    found = paths.config.foreign_value(HOOK_SETTING) or MACHINE.foreign_value(HOOK_SETTING)
    return [found] if found and found != str(paths.hook) else []


def _written(paths: Paths) -> list[NixConf]:
    """Every nix.conf that has a line of ours, even if variables point Nix at another one today."""
    found = [paths.config]
    with suppress(FileNotFoundError):
        for line in _record_of_files(paths).read_text(encoding="utf-8").splitlines():
            main, include = map(Path, line.split("\t"))
            aside = None if include.parent == main.parent else include.parent
            found.append(NixConf(main.parent, main.name, aside))
    return list(dict.fromkeys(found))


def _record_written(paths: Paths) -> None:
    text = "".join(f"{config.directory / config.name}\t{config.include}\n" for config in _written(paths))
    write_atomically(_record_of_files(paths), text, 0o600)


def _record_of_files(paths: Paths) -> Path:
    return paths.state / "nix-conf-files"
