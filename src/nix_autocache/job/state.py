"""What `setup` decided for a job, kept for the job's later steps. Holds no secret."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..machine.modes import Mode, ModeRule
from ..nix.store import Nix
from ..system import record
from ..trust.policy import LIMITATIONS, Verdict


@dataclass(frozen=True, kw_only=True)
class JobState:
    """`unsolved` maps a limitation to why it is not solved; `cache` is the store URL.

    With `scan`, what was built is found at the end by what is new in the store, since the hook cannot be used.
    `began` is in seconds since 1970. With `apart`, the uploader is a user of its own, and nobody but root can end it
    or change its queue.
    `reads` are our substituters that Nix had in effect after set-up.
    At `reader_port` the uploader lets Nix read the cache; 0 where Nix reads it by itself. `unread` where it does not,
    since a dry run found that the cache cannot be reached: each build would wait for it.
    """

    mode: str
    nix_bin: str
    cache: str
    push: bool
    reason: str
    unsolved: Mapping[int, str]
    dry_run: bool
    scan: bool
    apart: bool
    began: int
    reader_port: int
    unread: bool = False
    reads: tuple[str, ...] = ()

    @classmethod
    def begin(cls, row: ModeRule, nix: Nix, cache: str, verdict: Verdict, *, apart: bool, reader_port: int) -> JobState:
        begun = cls(
            mode=row.mode.value,
            nix_bin=str(nix.bin),
            cache=cache,
            push=verdict.push,
            reason=verdict.reason,
            unsolved=verdict.unsolved,
            dry_run=False,
            scan=False,
            apart=apart,
            began=int(time.time()),
            reader_port=reader_port,
        )
        scans = row.mode == Mode.EXISTING_SCAN and verdict.push
        return begun.scanning(row.no_hook) if scans else begun

    def scanning(self, reason: str) -> JobState:
        """This, with the store scan in the hook's place. All that is new is found, so limitation 1 is solved."""
        lost = "what is built is looked for at the end of the job only: killed before, it loses all"
        return dataclasses.replace(self, scan=True, unsolved={2: f"{reason}; {lost}", **self.unsolved})

    def judged(self, verdict: Verdict) -> JobState:
        """This, as a later verdict has it; what does not push already does not begin to."""
        if not self.push:
            return self
        unsolved = {2: self.unsolved[2], **verdict.unsolved} if self.scan else verdict.unsolved
        return dataclasses.replace(self, push=verdict.push, reason=verdict.reason, unsolved=unsolved)

    def only_pulling(self, reason: str) -> JobState:
        """This, without pushing after all."""
        unsolved = dict.fromkeys(LIMITATIONS, reason)
        return dataclasses.replace(self, push=False, reason=reason, unsolved=unsolved, reader_port=0)

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
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        unsolved = {int(number): reason for number, reason in values["unsolved"].items()}
        return cls(**{**values, "unsolved": unsolved, "reads": tuple(values.get("reads", ()))})
