"""The jobs of this machine as Nix knows them: one hook, one include file with each job's lines, a running daemon.

Run by whoever may change the paths: root for the machine's, through `root_helper`, the user for their own. Each
function takes the lock, so that jobs that begin or end at the same moment do not disturb each other.
Standard library only.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ..nix.daemon import control, systemd
from ..nix.daemon.supervisor import Supervisor
from ..nix.store import Nix
from ..system.dataclass import asdict, dataclass, field
from ..system.files import write_atomically
from ..system.trees import remove_tree
from ..uploader.process.client import UploaderClient
from . import build_users, include_file, job_directories, journal, kvm, uploader_user
from .install_record import InstallRecord
from .managed_machine import JOB
from .paths import STATE, Paths
from .state_directory import locked


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What a job needs from this machine. `owner` is its user and group.

    `queue` asks for a queue, `hook` for the hook that fills it, `daemon` for a running daemon that knows of it,
    `build_users` for users to build as, `kvm` for virtual machines in builds. With `separate_user`, the uploader runs
    as its own user, who then owns the job's directories but `steps`. `environ` is for a daemon of ours: proxies,
    certificates.
    """

    job_name: str
    owner: tuple[int, int]
    lines: tuple[str, ...]
    nix_bin: str
    queue: bool = False
    hook: bool = False
    daemon: bool = False
    build_users: bool = False
    kvm: bool = False
    separate_user: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def nix(self) -> Nix:
        return Nix(Path(self.nix_bin))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Registration:
        uid, gid = values["owner"]
        return cls(**{**values, "owner": (uid, gid), "lines": tuple(values["lines"])})


@dataclass(frozen=True)
class RegisteredJobs(journal.Change):
    """Jobs were registered: their names and lines are in our state."""

    kind: ClassVar[str] = "jobs"

    def undo(self, paths: Paths) -> None:
        for name in job_directories.names(paths):
            job_directories.remove(paths.job(name))
        remove_tree(paths.parts)
        # A Nix that we installed is removed next: its daemon is not restarted.
        _apply(paths, daemon=paths.state == STATE and InstallRecord.load(paths.installed) is None)
        remove_tree(paths.roots)


def add(paths: Paths, wanted: Registration, *, private: bool) -> None:
    """Register a job, or change its registration. `private` hides the include file from other users."""
    with locked(paths):
        job_directories.drop_stale(paths, wanted.job_name, time.time())
        if wanted.build_users:
            build_users.make(paths)
        if wanted.kvm:
            kvm.open_to_all(paths)
        uploader = uploader_user.owner(paths) if wanted.separate_user else wanted.owner
        journal.record(paths, RegisteredJobs())
        job = paths.job(wanted.job_name)
        job_directories.make(paths, job, user=wanted.owner, uploader=uploader, queue=wanted.queue)
        hooks = [f"{include_file.HOOK_SETTING} = {paths.hook}"] if wanted.hook else []
        include_file.write_part(paths, wanted.job_name, [*wanted.lines, *hooks])
        changed = include_file.render(paths, private=private)
        if wanted.daemon and paths.daemon_environment.exists():
            write_atomically(paths.daemon_environment, systemd.environment_text(wanted.environ), 0o600)
        if wanted.daemon:
            control.make_ready(wanted.nix, paths.state, wanted.environ, changed=changed)


def start_daemon(paths: Paths, nix_bin: Path, environ: Mapping[str, str]) -> None:
    """Start the daemon again if it died with the job's processes."""
    with locked(paths):
        control.make_ready(Nix(nix_bin), paths.state, environ, changed=False)


def remove(paths: Paths, name: str, *, daemon: bool, everything: bool) -> None:
    """Remove a job; with the last one go the hook, our lines and a daemon that we keep running.

    What was not pushed stays for another flush, unless `everything` goes.
    """
    if not paths.state.exists():
        return
    with locked(paths):
        (paths.parts / name).unlink(missing_ok=True)
        job = paths.job(name)
        if everything or not (any(job.queue.names()) or job.queue.failures()):
            job_directories.remove(job)
        _apply(paths, daemon=daemon)


def forget_substituter(paths: Paths, name: str, url: str, *, daemon: bool) -> None:
    """Take the lines that name a substituter of ours, which is gone, out of a job's part. A running daemon is told."""
    if not paths.state.exists():
        return
    with locked(paths):
        include_file.drop_lines(paths, name, url)
        changed = include_file.render(paths, private=include_file.is_private(paths))
        if changed and daemon and control.answers():
            control.restart(paths.state)


def stop_uploaders(paths: Paths) -> None:
    """Stop the uploader of every job. That of a managed machine would be started again; `undo` stops its keeper."""
    for name in job_directories.names(paths):
        if name != JOB:
            UploaderClient(paths.job(name).directory).stop()


def _apply(paths: Paths, *, daemon: bool) -> None:
    """Nix must never be pointed at a hook that is not there: our lines go before it."""
    changed = include_file.render(paths, private=include_file.is_private(paths))
    if include_file.is_empty(paths):
        Supervisor(paths.state).stop()
    if changed and daemon and control.answers():
        control.restart(paths.state)
    if not include_file.sets_hook(paths):
        paths.hook.unlink(missing_ok=True)
