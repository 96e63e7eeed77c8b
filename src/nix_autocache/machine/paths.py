"""Paths on this machine: our state, one job's part of it, Nix's configuration, the embedded cache.

There are two sets. The machine's is used where root, or sudo, lets us configure Nix for every user; its state is in
/var/lib, since a daemon with PrivateTmp must see the hook and the queue. Elsewhere the user's set is used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ..nix.conf import NixConf
from ..queue.directory import Queue
from ..system.dataclass import dataclass
from . import user_directories

GC_ROOTS: Final = Path("/nix/var/nix/gcroots/nix-autocache")
_USER_GC_ROOTS: Final = Path("/nix/var/nix/gcroots/per-user")
STATE: Final = Path("/var/lib/nix-autocache")
UNDO: Final = STATE / "undo"  # a program for root, which runs root's own copy of nix-autocache
CONFIGURATION: Final = Path("/etc/nix-autocache.toml")  # of a managed machine
_NIX_CONF: Final = Path("/etc/nix")


@dataclass(frozen=True, kw_only=True)
class JobPaths:
    """The paths of one job."""

    directory: Path
    roots: Path

    @property
    def queue(self) -> Queue:
        return Queue(self.directory / "queue", self.roots)

    @property
    def steps(self) -> Path:
        """The state of the job's own steps. It belongs to the job's user even where all else is the uploader's."""
        return self.directory / "steps"

    @property
    def setup(self) -> Path:
        """The decisions of `setup`, as JSON."""
        return self.steps / "setup.json"

    @property
    def store_before(self) -> Path:
        """A list of the store's paths at `setup`, where the hook cannot be used."""
        return self.steps / "store-before"


@dataclass(frozen=True, kw_only=True)
class Paths:
    """One of the two sets. Hold `state_directory.locked` while you change something there."""

    state: Path
    nix_conf: Path
    roots: Path
    nix_conf_name: str = "nix.conf"

    @property
    def conf_file(self) -> Path:
        return self.nix_conf / self.nix_conf_name

    @property
    def config(self) -> NixConf:
        """The nix.conf that gets our lines."""
        named = self.nix_conf_name != "nix.conf" or self.nix_conf.name != "nix"  # by NIX_USER_CONF_FILES
        return NixConf(self.nix_conf, self.nix_conf_name, self.state if named else None)

    @property
    def jobs(self) -> Path:
        return self.state / "jobs"

    @property
    def hook(self) -> Path:
        return self.state / "hook"

    @property
    def parts(self) -> Path:
        """A directory with a file for each job: its lines of the include file."""
        return self.state / "nix.conf.d"

    @property
    def program(self) -> Path:
        """The copies of this program that the uploader's user runs, see `uploader_user`."""
        return self.state / "program"

    @property
    def journal(self) -> Path:
        return self.state / "undo.jsonl"

    @property
    def installed(self) -> Path:
        """The record of a Nix that we installed."""
        return self.state / "installed.json"

    @property
    def daemon_environment(self) -> Path:
        """Variables for a daemon whose unit we made; they may hold a proxy's password."""
        return self.state / "daemon.env"

    def job(self, name: str) -> JobPaths:
        return JobPaths(directory=self.jobs / name, roots=self.roots / name)


def machine(environ: Mapping[str, str]) -> Paths:
    """The machine's paths; only root can write there. Where its nix.conf cannot be changed, root's own is used."""
    nix_conf = Path(environ.get("NIX_CONF_DIR") or _NIX_CONF) if os.geteuid() == 0 else _NIX_CONF
    name = "nix.conf"
    if os.geteuid() == 0 and NixConf(nix_conf).is_fixed:
        own = user_directories.nix_conf(environ)
        nix_conf, name = own.parent, own.name
    return Paths(state=STATE, nix_conf=nix_conf, roots=GC_ROOTS, nix_conf_name=name)


def users(environ: Mapping[str, str]) -> Paths:
    """The paths of this user, in the XDG base directories.

    Garbage collection roots are in the directory that a daemon gives each user, where there is one.
    """
    own = _USER_GC_ROOTS / user_directories.name(environ)
    conf = user_directories.nix_conf(environ)
    return Paths(
        state=user_directories.base(environ, "XDG_STATE_HOME", ".local/state") / "nix-autocache",
        nix_conf=conf.parent,
        nix_conf_name=conf.name,
        roots=own / "nix-autocache" if os.access(own, os.W_OK) else GC_ROOTS,
    )


def data(environ: Mapping[str, str]) -> Path:
    """The directory that `undo` leaves to this user: the embedded cache and its key."""
    return user_directories.base(environ, "XDG_DATA_HOME", ".local/share") / "nix-autocache"


def job_name(job: str) -> str:
    """A job's name on this machine. Two users' jobs have different names, even if the host gives them one id."""
    return job if os.geteuid() == 0 else f"{job}-{os.geteuid()}"


def of_job(environ: Mapping[str, str], job: str) -> Paths:
    """The machine's paths for root, and for a job that root made a directory for there; else the user's."""
    everybody = machine(environ)
    if os.geteuid() == 0:
        return everybody
    try:
        mine = everybody.job(job).steps.stat().st_uid == os.geteuid()
    except OSError:
        mine = False
    return everybody if mine else users(environ)
