"""What `setup` decided for a job, kept for the job's later steps. Holds no secret."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from ..machine.modes import Mode
from ..nix.store import Nix
from ..system import record
from ..system.dataclass import dataclass, replace
from ..trust.policy import LIMITATIONS, Verdict
from ..uploader.read_proxy.address import Address


@dataclass(frozen=True, kw_only=True)
class JobState:
    """`cache` is the store URL without secrets; `unsolved` maps a limitation to the reason why it is not solved.

    With `scan`, builds are found at the end by a scan of the store, since the hook cannot be used. With `separate_user`
    the uploader is another user, and only root can end it or change its queue. `began` is in seconds since 1970.
    `reader` is where the read proxy is, None where Nix reads the cache by itself. It is `unread` where a dry run cannot
    reach it: each build would wait for it. `reads` are our substituters that Nix had in effect after set-up.
    `period` is a time in that of the job's throwaway cache, in seconds since 1970: the job keeps it to its end.
    """

    mode: str
    nix_bin: str
    cache: str
    push: bool
    reason: str
    unsolved: Mapping[int, str]
    dry_run: bool
    scan: bool
    separate_user: bool
    began: int
    reader: Address | None = None
    unread: bool = False
    reads: tuple[str, ...] = ()
    period: int = 0

    @classmethod
    def begin(
        cls, mode: Mode, nix: Nix, cache: str, verdict: Verdict, *,
        no_hook: str = "", separate_user: bool = False, reader: Address | None = None,
    ) -> JobState:  # fmt: skip
        """A job that begins now; with a reason for `no_hook`, it scans the store instead."""
        begun = cls(
            mode=mode.value,
            nix_bin=str(nix.bin),
            cache=cache,
            push=verdict.push,
            reason=verdict.reason,
            unsolved=verdict.unsolved,
            dry_run=False,
            scan=False,
            separate_user=separate_user,
            began=int(time.time()),
            reader=reader,
        )
        return begun.scanning(no_hook) if no_hook and verdict.push else begun

    def scanning(self, reason: str) -> JobState:
        """A copy that scans the store instead of using the hook; it finds all, so limitation 1 is solved."""
        lost = "the store is scanned at the end of the job only: a job that is killed before loses all"
        return replace(self, scan=True, unsolved={2: f"{reason}; {lost}", **self.unsolved})

    def judged(self, verdict: Verdict) -> JobState:
        """A copy with a later verdict; never turns pushing on."""
        if not self.push:
            return self
        unsolved = {2: self.unsolved[2], **verdict.unsolved} if self.scan else verdict.unsolved
        return replace(self, push=verdict.push, reason=verdict.reason, unsolved=unsolved)

    def only_pulling(self, reason: str) -> JobState:
        """A copy that does not push."""
        unsolved = dict.fromkeys(LIMITATIONS, reason)
        return replace(self, push=False, reason=reason, unsolved=unsolved)

    @property
    def nix(self) -> Nix:
        return Nix(Path(self.nix_bin))

    @property
    def chosen(self) -> Mode:
        return Mode(self.mode)

    def save(self, path: Path) -> None:
        record.save(self, path)

    @classmethod
    def load(cls, path: Path) -> JobState | None:
        """None where nothing was set up."""
        try:
            return record.loads(cls, path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
