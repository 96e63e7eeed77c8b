"""The jobs of this machine as Nix knows them: one hook, one include file, a part of it for each job.

Run by whoever may change the places: root for the machine's, by way of `privileged`, the user for their own.
Every function takes the places' lock, so that jobs that begin or end at the same moment do not disturb each other.
Standard library only.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..nix.conf import MACHINE, NixConf
from ..nix.daemon import control, systemd
from ..nix.daemon.supervisor import Supervisor
from ..nix.store import Nix
from ..queue import hook
from ..system import users
from ..system.files import close_to_others, make_directory, set_mode, write_atomically
from ..system.trees import remove_tree
from ..uploader.process.client import UploaderClient
from . import uploader_user as apart
from .install_record import InstallRecord
from .managed_machine import JOB
from .paths import JobPaths, Paths

_STALE: Final = 24 * 3600.0  # seconds after which a job that no uploader speaks for has ended without saying so
_HALF: Final = 600.0  # seconds that no set-up takes
_HOOK_SETTING: Final = "post-build-hook"
_KVM: Final = Path("/dev/kvm")


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What Nix is to be told for a job, whose directories shall belong to `owner`, a user's and a group's number,
    or, all but one, to the uploader's own user if it is to be `apart`.

    `queue` asks for a queue, `hook` for the hook that fills it, `daemon` for a daemon that runs and knows of it,
    `build_users` for users to build as, `kvm` for virtual machines in builds. `environ` is what a daemon of ours
    needs: proxies, certificates.
    """

    job: str
    owner: tuple[int, int]
    lines: tuple[str, ...]
    nix_bin: str
    queue: bool = False
    hook: bool = False
    daemon: bool = False
    build_users: bool = False
    kvm: bool = False
    apart: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def nix(self) -> Nix:
        return Nix(Path(self.nix_bin))

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Registration:
        uid, gid = values["owner"]
        return cls(**{**values, "owner": (uid, gid), "lines": tuple(values["lines"])})


def add(places: Paths, wanted: Registration, *, private: bool) -> None:
    """Register a job, or change what is registered. `private` hides the include file from other users."""
    with places.lock():
        _sweep(places, wanted.job)
        job = places.job(wanted.job)
        _give(places, job, wanted)
        if wanted.build_users:
            _make_build_users(places)
        if wanted.kvm:
            _open_kvm(places)
        hooks = [f"{_HOOK_SETTING} = {places.hook}"] if wanted.hook else []
        _write_part(places, wanted.job, [*wanted.lines, *hooks])
        changed = _compose(places, private=private)
        if wanted.daemon and places.daemon_environment.exists():
            write_atomically(places.daemon_environment, systemd.environment_text(wanted.environ), 0o600)
        if wanted.daemon:
            control.make_ready(wanted.nix, places.state, wanted.environ, changed=changed)


def start_daemon(places: Paths, nix_bin: Path, environ: Mapping[str, str]) -> None:
    """Start the daemon again where it died with all of the job's processes; nothing to do where one answers."""
    with places.lock():
        control.make_ready(Nix(nix_bin), places.state, environ, changed=False)


def remove(places: Paths, name: str, *, daemon: bool, everything: bool) -> None:
    """Take a job out; with the last one go the hook, our lines and a daemon that we keep.

    What was not pushed stays for another flush, unless `everything` goes.
    """
    if not places.state.exists():
        return
    with places.lock():
        (places.parts / name).unlink(missing_ok=True)
        job = places.job(name)
        if everything or not (any(job.queue.names()) or job.queue.failures()):
            _forget(job)
        _settle(places, daemon=daemon)


def clear(places: Paths, *, daemon: bool) -> None:
    """Take every job out."""
    if not places.state.exists():
        return
    with places.lock():
        for name in _names(places):
            UploaderClient(places.job(name).directory).stop()
            _forget(places.job(name))
        remove_tree(places.parts)
        _settle(places, daemon=daemon)
        remove_tree(places.roots)


def _settle(places: Paths, *, daemon: bool) -> None:
    """Nix must never be pointed at a hook that is not there: our lines go before it."""
    changed = _compose(places, private=_is_private(places))
    if not any(_parts(places)):
        Supervisor(places.state).stop()
    if changed and daemon and control.answers():
        control.restart(places.state)
    if not any(_HOOK_SETTING in part for part in _parts(places)):
        places.hook.unlink(missing_ok=True)


def _sweep(places: Paths, but: str) -> None:
    """Forget the jobs that were killed: without an uploader, and of before this boot, of long ago, or half set up."""
    for name in _names(places):
        job = places.job(name)
        oldest = max(time.time() - (_STALE if job.setup.exists() else _HALF), _booted())
        if name in {but, JOB} or _touched(places, name) >= oldest:
            continue
        if not UploaderClient(job.directory).status():
            (places.parts / name).unlink(missing_ok=True)
            _forget(job)


def _names(places: Paths) -> list[str]:
    with suppress(FileNotFoundError):
        return os.listdir(places.jobs)
    return []


def _touched(places: Paths, name: str) -> float:
    with suppress(OSError):
        return (places.jobs / name).stat().st_mtime
    return 0.0


def _booted() -> float:
    with suppress(OSError, ValueError):
        for line in Path("/proc/stat").read_text().splitlines():
            if line.startswith("btime "):
                return float(line.split()[1])
    return 0.0


def _give(places: Paths, job: JobPaths, wanted: Registration) -> None:
    """The job's own directories. Its roots are written by the hook and by the uploader, who may be two users."""
    make_directory(job.steps, 0o755)
    close_to_others(places.jobs)
    owner = apart.owner(places) if wanted.apart else wanted.owner
    directories = [job.directory]
    if wanted.queue:
        job.queue.create()
        directories += [job.queue.directory, job.queue.new, job.queue.failed]
        with suppress(OSError):  # a user that the daemon does not trust, or a container, may have no place for roots
            make_directory(job.roots, 0o755)
            set_mode(job.roots, 0o755, owner)
    set_mode(job.steps, 0o755, wanted.owner)
    for directory in directories:
        set_mode(directory, 0o755, owner)


def _forget(job: JobPaths) -> None:
    remove_tree(job.roots)
    remove_tree(job.directory)


def _write_part(places: Paths, name: str, lines: list[str]) -> None:
    make_directory(places.parts, 0o700)
    close_to_others(places.parts)
    write_atomically(places.parts / name, "".join(f"{line}\n" for line in lines), 0o600)


def _parts(places: Paths) -> Iterator[str]:
    with suppress(FileNotFoundError):
        for path in sorted(places.parts.iterdir()):
            if not path.name.startswith("."):
                yield path.read_text(encoding="utf-8")


def _compose(places: Paths, *, private: bool) -> bool:
    """The hook and the include file, from the parts of all jobs; none without jobs. Whether the file changed."""
    if not any(_parts(places)):
        changed = [config.remove() for config in _written(places)]
        return any(changed)
    lines, others = merge(_parts(places), str(places.hook))
    if f"{_HOOK_SETTING} = {places.hook}" in lines:  # it must be there before Nix is told of it
        hook.install(places.hook, jobs=places.jobs, roots=places.roots, others=[*_configured(places), *others])
    _note_written(places)
    return places.config.write(lines, private=private)


def merge(parts: Iterable[str], ours: str) -> tuple[list[str], list[str]]:
    """The lines of all jobs, each once; and the hooks of others among them, left out where our own is among them too.

    A line that adds to a list comes after those that set one, whichever job they are of, or they would take it away.
    """
    lines = list(dict.fromkeys(line for part in parts for line in part.splitlines()))
    hooks = {line: value for line in lines if (value := _hook_of(line)) is not None}
    others = []
    if ours in hooks.values():
        others = [value for value in hooks.values() if value not in {"", ours}]
        lines = [line for line in lines if hooks.get(line, ours) == ours]
    return sorted(lines, key=lambda line: line.lstrip().startswith("extra-")), others


def _hook_of(line: str) -> str | None:
    """The hook that a line of nix.conf sets; None if it sets something else."""
    name, _, value = line.partition("#")[0].partition("=")
    return value.strip() if name.strip() == _HOOK_SETTING else None


def _configured(places: Paths) -> list[str]:
    """The hook that somebody else configured, here or, for a user's own places, for the machine."""
    found = places.config.value(_HOOK_SETTING) or MACHINE.value(_HOOK_SETTING)
    return [found] if found and found != str(places.hook) else []


def _written(places: Paths) -> list[NixConf]:
    """Every nix.conf that has a line of ours: what variables name another one today changes nothing about that."""
    found = [places.config]
    with suppress(FileNotFoundError):
        for line in _note_of_files(places).read_text(encoding="utf-8").splitlines():
            main, include = map(Path, line.split("\t"))
            aside = None if include.parent == main.parent else include.parent
            found.append(NixConf(main.parent, main.name, aside))
    return list(dict.fromkeys(found))


def _note_written(places: Paths) -> None:
    text = "".join(f"{config.directory / config.name}\t{config.include}\n" for config in _written(places))
    write_atomically(_note_of_files(places), text, 0o600)


def _note_of_files(places: Paths) -> Path:
    return places.state / "nix-conf-files"


def _is_private(places: Paths) -> bool:
    with suppress(OSError):
        return not places.config.include.stat().st_mode & stat.S_IROTH
    return False


def _make_build_users(places: Paths) -> None:
    """For a Nix that was left without its build users."""
    missing = users.missing(users.wanted())
    here = InstallRecord(kind="multi-user", made=(), users=missing, group=not users.group_exists())
    here.also(InstallRecord.load(_mended(places))).save(_mended(places))
    users.make(users.wanted())


def mended(places: Paths) -> InstallRecord | None:
    """What we added to a Nix that is not ours."""
    return InstallRecord.load(_mended(places))


def _mended(places: Paths) -> Path:
    return places.state / "mended.json"


def _open_kvm(places: Paths) -> None:
    """Let every user have KVM; `undo` gives it its permissions back."""
    note = places.state / "kvm-mode"
    if _KVM.exists() and not note.exists():
        mode = stat.S_IMODE(_KVM.stat().st_mode)
        if mode & 0o666 != 0o666:
            write_atomically(note, f"{mode:o}", 0o644)
            set_mode(_KVM, mode | 0o666)


def close_kvm(places: Paths) -> None:
    with suppress(OSError, ValueError):
        set_mode(_KVM, int((places.state / "kvm-mode").read_text(), 8))
