"""The ways from the job's own code to the key, the queue or the store on this machine, each as a sentence.

Tried as the user that runs this, with the groups of this process: a process keeps its groups when /etc/group changes.
Only what is tried or read here is claimed; docs/threat-model.md names the rest. A machine without a way seals its jobs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from ..nix import effective, trusted_user
from ..nix.conf import MACHINE
from ..nix.store import Nix
from . import memory, metadata, root_rights, sockets, system_files

_PROGRAMS: Final = ("post-build-hook", "pre-build-hook", "diff-hook", "build-hook")
_SUBSTITUTERS: Final = ("substituters", "trusted-substituters")
_TRUSTED = re.compile("[?&]trusted=(?!false|no|0)")

_SHOWN: Final = 3  # paths named in one sentence


def of_credentials(clouds: Iterable[str], environ: Mapping[str, str]) -> Iterator[str]:
    for service in metadata.answering(tuple(clouds), environ):
        yield f"{service} gives the job's user the credentials that the uploader has"


def of_machine(nix: Nix, hook: Path, jobs: Path, used: Iterable[Path], programs: Iterable[str] = ()) -> Iterator[str]:
    """Every way that this machine leaves open to the user that runs this.

    `jobs` is the directory of all jobs' directories. Root's hook writes into each queue in it, so a user who can change
    one could redirect the hook. `used` are other paths that the uploader works with. `programs` are those that root
    runs, in addition to the ones that this user can see.
    """
    all_jobs = jobs.iterdir() if jobs.exists() else ()
    yield from root_rights.becomes_root()
    yield from sockets.ports()
    if part := system_files.interpreter():
        yield f"the uploader's Python can be changed by the job's user, {part}"
    for what, paths in {
        "the job's user can connect to {}": sockets.sockets(),
        "the job's user can read the memory of another process, as the runner's, by {}": sockets.diagnostics(),
        "the job's user can read disks or memory, {}": memory.devices(),
        "the job's user can change what root runs, {}": system_files.system_files(programs),
        "the job's user can write Nix's store, {}": system_files.store(),
        "the job's user can change what the uploader works on, {}": _changeable([hook, *used, *all_jobs]),
        "the job's user can change the Nix that the uploader and root run, {}": _changeable(_programs_of(nix)),
    }.items():
        if paths:
            yield what.format(named(paths))
    yield from of_nix(nix, hook)


def _programs_of(nix: Nix) -> list[Path]:
    return [Path(nix.program(name)) for name in ("nix-daemon", "nix-store", "nix")]


def _changeable(paths: Iterable[Path]) -> list[Path]:
    return [part for path in paths if (part := system_files.changeable(path))]


def of_nix(nix: Nix, hook: Path) -> Iterator[str]:
    """Ways that the daemon's own configuration opens to every user."""
    if trusted_user.is_trusted(nix):
        yield "the job's user is a trusted user of the nix-daemon"
    settings = effective.of_machine(nix)
    if settings.get("sandbox") != "true" or settings.get("sandbox-fallback", "false") != "false":
        yield "builds are not always sandboxed, so what runs beside one can change what it makes"
    if settings.get("require-sigs") != "true":
        yield "Nix takes unsigned paths from everybody (require-sigs = false)"
    # Its default depends on the user, and here it is not root who asks.
    if MACHINE.foreign_value("build-users-group") == "" and settings.get("auto-allocate-uids") != "true":
        yield "builds run as root (build-users-group is empty)"
    if settings.get("post-build-hook") not in {"", str(hook)}:
        yield f"Nix calls another hook, {settings.get('post-build-hook')}"
    for setting in _PROGRAMS:
        words = (MACHINE.foreign_value(setting) or "").split()
        if words and (part := system_files.changeable(Path(words[0]))):
            yield f"root runs what the job's user can change, {setting} = {part}"
    for file in MACHINE.files():
        if part := system_files.changeable(file):
            yield f"Nix takes its configuration from what the job's user can change, {part}"
    for given in settings.get("plugin-files", "").split():
        if part := system_files.changeable(Path(given)):
            yield f"root loads what the job's user can change, plugin-files = {part}"
    for given in re.split(r"[;\s]+", settings.get("builders", "")):
        if given.startswith("@/") and (part := system_files.changeable(Path(given[1:]))):
            yield f"Nix builds on machines that the job's user can name, builders = {part}"
    unsigned = [url for name in _SUBSTITUTERS for url in settings.get(name, "").split() if _TRUSTED.search(url)]
    if unsigned:
        yield f"Nix takes unsigned paths from {', '.join(unsigned)}"
    for given in settings.get("sandbox-paths", "").split():
        if part := system_files.changeable(Path(given.partition("=")[2].rstrip("?") or given.rstrip("?"))):
            yield f"builds see a path that the job's user can change, {part}"


def named(paths: list[Path]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(map(str, paths[:_SHOWN])) + more
