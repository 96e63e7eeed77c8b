"""Whether the job's own code could reach the key, the queue or the store: every way in which it could, as a sentence.

What hardening cannot take away is known before it; what it left is tried afterwards, as the job's user. Without any
such way the job is sealed.
"""

from __future__ import annotations

import getpass
import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from ..machine import root
from ..machine.modes import ModeRule
from ..machine.observe import Facts
from ..machine.paths import UNDO
from ..trust import probes
from . import decision
from .context import Context
from .destination import Destination
from .exposures import after_lockdown, of_secrets, own_directory
from .state import JobState

_DIRECTORIES: Final = (
    "HOME", "TMPDIR", "GITHUB_WORKSPACE", "RUNNER_WORKSPACE", "RUNNER_TEMP", "RUNNER_TOOL_CACHE", "CI_PROJECT_DIR",
)  # fmt: skip


@dataclass(frozen=True)
class Isolation:
    """That of one job on the machine that was seen, with the cache that it is to push to."""

    context: Context
    row: ModeRule
    seen: Facts
    place: Destination

    @property
    def apart(self) -> bool:
        """Whether the uploader is to be a user of its own: where root is to be taken away, and it can do its work."""
        hardens = self.context.settings.harden and self._can_harden and self.row.mode.daemon
        return hardens and self.place.url.row.any_user and not own_directory(self.place)

    @property
    def foreseen(self) -> tuple[str, ...]:
        """What stands against a sealed job before anything is done."""
        return self._known(hardened=False)

    def _known(self, *, hardened: bool) -> tuple[str, ...]:
        if self.seen.root:
            return ("the job's user is root, so its code could read the key",)
        if not self.row.mode.daemon:
            return ("the uploader runs as the job's own user, so its code could take the key",)
        if not self.context.settings.harden:
            why = "the job's user can become root, so its code could read the key (`harden: true` takes that away)"
            return (why,)
        return tuple(of_secrets(self.context, self.place, hardened=hardened))

    @contextmanager
    def taking_root_away(self) -> Iterator[None]:
        """Take root away from the job's user, where that is asked for and can be; given back if the block fails."""
        if not (self.context.settings.harden and self._can_harden):
            yield
            return
        files = probes.system_files(self._programs)
        paths = [*probes.sockets(), *probes.diagnostics(), *probes.devices(), *files]
        request = {
            "job": self.context.job_name,
            "user": os.geteuid(),
            "reachable": [str(path) for path in paths],
            "own": [str(path) for path in _own(self.context.environ)],
        }
        hardening = root.harden(request, self.context.environ)
        try:
            yield
        except BaseException:
            if not hardening.give_up():
                self.context.host.warning(f"this machine stays hardened; {UNDO}, run by root, ends that")
            raise
        hardening.keep()

    def judge(self, state: JobState) -> JobState:
        """Judge a job anew, whose user root was taken from, by what is still in that user's reach."""
        left = self._known(hardened=True)
        if self._can_harden:
            self._warn_of_later_jobs()
            left = (*left, *after_lockdown(self.context, self.place, state, self._programs))
        for way in left:
            self.context.host.warning(f"harden: {way}")
        verdict = decision.judge(self.context, self.place, left)
        decision.announce(self.context, self.place, verdict)
        return state.judged(verdict)

    @cached_property
    def _programs(self) -> list[str]:
        """What root's processes were started from, asked while there is a root to ask."""
        found: list[str] = root.call("programs", {}, self.context.environ)
        return found

    @property
    def _can_harden(self) -> bool:
        return self.seen.sudo and not self.seen.root

    def _warn_of_later_jobs(self) -> None:
        if not self.context.host.ephemeral:
            self.context.host.warning(
                f"this machine's user {getpass.getuser()} cannot become root any more, in later jobs neither; "
                f"{UNDO}, run by root, brings that back"
            )


def _own(environ: Mapping[str, str]) -> Iterator[Path]:
    """Directories that the job's user works in: what root runs from there is named, and not taken away."""
    yield Path.cwd()
    with suppress(KeyError):
        yield Path(pwd.getpwuid(os.geteuid()).pw_dir)
    for name in _DIRECTORIES:
        if os.path.isabs(environ.get(name, "")):
            yield Path(environ[name])
