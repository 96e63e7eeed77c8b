"""What `setup` decided for a job, kept for the job's later steps. Holds no secret."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .nix.store import Nix
from .runner import Mode
from .trust import Verdict


@dataclass(frozen=True, kw_only=True)
class Session:
    """`unsolved` maps a limitation to why it is not solved; `cache` is the store URL."""

    mode: str
    nix_bin: str
    cache: str
    push: bool
    reason: str
    unsolved: Mapping[int, str]
    dry_run: bool

    @classmethod
    def begin(cls, mode: Mode, nix: Nix, cache: str, verdict: Verdict) -> Session:
        return cls(
            mode=mode.value,
            nix_bin=str(nix.bin),
            cache=cache,
            push=verdict.push,
            reason=verdict.reason,
            unsolved=verdict.unsolved,
            dry_run=False,
        )

    @property
    def installed(self) -> bool:
        """Whether this Nix is one that we installed."""
        return self.mode == Mode.SINGLE_USER.value

    @property
    def daemon(self) -> bool:
        return self.mode == Mode.EXISTING_DAEMON.value

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")
        fresh.rename(path)

    @classmethod
    def load(cls, path: Path) -> Session | None:
        """None where nothing was set up."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        unsolved = {int(number): reason for number, reason in values["unsolved"].items()}
        return cls(**{**values, "unsolved": unsolved})
