"""Where things lie on this machine: our state, a job's part of it, Nix's configuration, the embedded cache.

There are two sets of them. The machine's is used where root, or sudo, lets us configure Nix for everybody; its
state is in /var/lib, since a daemon under PrivateTmp must see the hook and the queue. The user's is used elsewhere.
"""

from __future__ import annotations

import fcntl
import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import RunnerError
from ..nix.conf import NixConf
from ..queue.directory import Queue
from ..system.files import close_to_others, make_directory, open_to_append, write_atomically
from ..system.home import of_account

GC_ROOTS: Final = Path("/nix/var/nix/gcroots/nix-autocache")
_OF_USERS: Final = Path("/nix/var/nix/gcroots/per-user")
STATE: Final = Path("/var/lib/nix-autocache")
UNDO: Final = STATE / "undo"  # for root, where root's part runs from root's copy of this program
CONFIGURATION: Final = Path("/etc/nix-autocache.toml")  # of a provisioned machine
_NIX_CONF: Final = Path("/etc/nix")


@dataclass(frozen=True, kw_only=True)
class JobPaths:
    """What one job on this machine has for itself."""

    directory: Path
    roots: Path

    @property
    def queue(self) -> Queue:
        return Queue(self.directory / "queue", self.roots)

    @property
    def log(self) -> Path:
        """What the uploader said."""
        return self.directory / "uploader.log"

    @property
    def steps(self) -> Path:
        """What the job's own steps keep: theirs also where all else here is the uploader's."""
        return self.directory / "steps"

    @property
    def setup(self) -> Path:
        """What `setup` decided, as JSON."""
        return self.steps / "setup.json"

    @property
    def store_before(self) -> Path:
        """What was in the store at `setup`, where the hook cannot be used."""
        return self.steps / "store-before"


@dataclass(frozen=True, kw_only=True)
class Paths:
    """One of the two sets. `lock` keeps jobs that set up at the same moment apart."""

    state: Path
    nix_conf: Path
    roots: Path
    nix_conf_name: str = "nix.conf"

    @property
    def conf_file(self) -> Path:
        return self.nix_conf / self.nix_conf_name

    @property
    def config(self) -> NixConf:
        """Where Nix is told of cache and hook."""
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
        """A file for each job: its lines of the include file."""
        return self.state / "nix.conf.d"

    @property
    def program(self) -> Path:
        """The uploader's own copy of this program, see `apart`."""
        return self.state / "program"

    @property
    def installed(self) -> Path:
        """There when we installed Nix; names what was made."""
        return self.state / "installed.json"

    @property
    def daemon_environment(self) -> Path:
        """Variables for a daemon that we made a unit for; proxies with their passwords among them."""
        return self.state / "daemon.env"

    def job(self, name: str) -> JobPaths:
        return JobPaths(directory=self.jobs / name, roots=self.roots / name)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Wait until no other process changes what is here, and keep others waiting."""
        while True:
            self._make_state()
            # To lock a file one must only read it: who may change what is here keeps it to themselves.
            with open_to_append(self.state / "lock", 0o600) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if _is(file.fileno(), self.state / "lock"):  # else an undo removed it while we waited
                    yield
                    return

    def made(self) -> list[Path]:
        """The directories around our own that were not there before us, the deepest first."""
        try:
            return [Path(line) for line in self._made.read_text(encoding="utf-8").splitlines()]
        except FileNotFoundError:
            return []

    @property
    def _made(self) -> Path:
        return self.state / "directories-made"

    def _make_state(self) -> None:
        if self.state.exists():
            close_to_others(self.state)
            return
        around = (self.nix_conf, *self.nix_conf.parents, *self.state.parents)
        missing = sorted({path for path in around if not path.exists()}, key=lambda path: -len(path.parts))
        try:
            make_directory(self.state, 0o755)
        except OSError as error:
            raise RunnerError(
                f"cannot make {self.state}: {error.strerror}; set HOME to a directory that belongs to this user"
            ) from None
        write_atomically(self._made, "".join(f"{path}\n" for path in missing), 0o644)


def machine(environ: Mapping[str, str]) -> Paths:
    """The machine's places; only root can write there. Where nobody can change its nix.conf, root's own is used."""
    nix_conf = Path(environ.get("NIX_CONF_DIR") or _NIX_CONF) if os.geteuid() == 0 else _NIX_CONF
    name = "nix.conf"
    if os.geteuid() == 0 and NixConf(nix_conf).fixed:
        own = _user_conf(environ)
        nix_conf, name = own.parent, own.name
    return Paths(state=STATE, nix_conf=nix_conf, roots=GC_ROOTS, nix_conf_name=name)


def users(environ: Mapping[str, str]) -> Paths:
    """The places of this user, in the XDG base directories.

    Waiting paths are kept from collection in the directory that a daemon gives each user for it.
    """
    name = environ.get("USER") or _name()
    own = _OF_USERS / name
    conf = _user_conf(environ)
    return Paths(
        state=_base(environ, "XDG_STATE_HOME", ".local/state") / "nix-autocache",
        nix_conf=conf.parent,
        nix_conf_name=conf.name,
        roots=own / "nix-autocache" if os.access(own, os.W_OK) else GC_ROOTS,
    )


def data(environ: Mapping[str, str]) -> Path:
    """What stays with this user after `undo`: the embedded cache and its key."""
    return _base(environ, "XDG_DATA_HOME", ".local/share") / "nix-autocache"


def job_name(job: str) -> str:
    """A job's name on this machine: users have jobs of their own, whatever the host calls them."""
    return job if os.geteuid() == 0 else f"{job}-{os.geteuid()}"


def of_job(environ: Mapping[str, str], job: str) -> Paths:
    """The machine's places for root, and for a job that root made a directory for there; else the user's."""
    everybody = machine(environ)
    if os.geteuid() == 0:
        return everybody
    try:
        mine = everybody.job(job).steps.stat().st_uid == os.geteuid()
    except OSError:
        mine = False
    return everybody if mine else users(environ)


def _user_conf(environ: Mapping[str, str]) -> Path:
    """The file of this user's that Nix reads last and we can change: what it says beats all files before it.

    Source: getUserConfigFiles in src/libstore/globals.cc of Nix, and getHome in src/libutil/users.cc.
    """
    named = [Path(name) for name in environ.get("NIX_USER_CONF_FILES", "").split(":") if name.startswith("/")]
    for path in named:
        if not NixConf(path.parent, path.name).fixed:
            return path
    directory = environ.get("XDG_CONFIG_HOME") or _nix_home(environ) / ".config"
    return Path(directory, "nix", "nix.conf")


def _nix_home(environ: Mapping[str, str]) -> Path:
    """The home that Nix takes: not $HOME where that belongs to another user, as in GitHub's job containers."""
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    with suppress(OSError, KeyError):
        if home.stat().st_uid != os.geteuid():
            return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    return home


def _base(environ: Mapping[str, str], variable: str, default: str) -> Path:
    if os.path.isabs(named := environ.get(variable, "")):  # others are not valid, says their specification
        return Path(named)
    return Path(environ.get("HOME") or of_account() or "/nonexistent", default)


def _name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container may run as a number that no account has
        return str(os.geteuid())


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
