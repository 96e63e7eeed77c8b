"""The uploader of a managed machine, as its own user: `python -sP -m nix_autocache.machine.managed.service`.

systemd, or `keeper` in its place, starts it with the configuration and all secrets in $CREDENTIALS_DIRECTORY, and
starts it again when it ends: on SIGHUP, and by itself when one of the source files has changed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ...ci.lane import Lane
from ...nix import effective
from ...nix.key_source import KeySource
from ...queue.directory import Queue
from ...settings import Settings
from ...system import log, memory
from ...system.dataclass import replace
from ...uploader.access import CacheAccess
from ...uploader.process import main as daemon
from ...uploader.process.client import UploaderClient
from ...uploader.process.spec import ProcessSpec
from ...uploader.read_proxy.launch import LISTENING
from ...uploader.read_proxy.spec import ReadSpec
from ...uploader.secrets import SecretSources
from ...uploader.spec import UploadSpec
from ..managed_machine import ManagedMachine, job_paths
from ..paths import Paths, machine
from . import configuration
from .configuration import Configuration

_FIRST: Final = 3  # SD_LISTEN_FDS_START
_MAINTENANCE_INTERVAL: Final = 600.0  # seconds, see Drain
_POLL: Final = 2.0  # seconds between looks at the files


def main() -> int:
    """Upload what the machine's jobs build, until it is stopped or the configuration has changed."""
    memory.protect_memory()
    credentials, paths = Path(os.environ["CREDENTIALS_DIRECTORY"]), machine(os.environ)
    given = configuration.load(credentials / "configuration")
    now = time.time()
    watch = threading.Thread(target=_end_when_changed, args=(given, now), daemon=True)
    watch.start()
    spec = process_spec(given.given_as_credentials(credentials), paths, now)
    return daemon.run(spec, UploaderClient(job_paths(paths).directory).socket, None, _listening(os.environ))


def _listening(environ: Mapping[str, str]) -> int | None:
    """The descriptor of the reader's socket, from `keeper` or from systemd (sd_listen_fds(3)); None without one."""
    if number := environ.get(LISTENING):
        return int(number)
    return _FIRST if environ.get("LISTEN_FDS") == "1" and environ.get("LISTEN_PID") == str(os.getpid()) else None


def process_spec(given: Configuration, paths: Paths, now: float) -> ProcessSpec:
    """What this machine's uploader and read proxy do, with the key. `now` is in seconds since 1970."""
    record, settings = ManagedMachine.load(paths), given.settings
    assert record, "it is written before the service starts"
    assert settings.cache, "the configuration has one"
    url, previous = settings.cache.at(now), settings.cache.before(now)
    secrets = SecretSources(url, settings.signing_key, given.environ).read()
    # Its lane is what all its jobs use.
    index = Lane.of_machine().index if url.row.read_by_proxy else ""
    access = CacheAccess(url=url, nix_bin=Path(record.nix_bin), environ=secrets.environ, previous=previous)
    upload = replace(_upload_spec(settings, record, access, secrets.key, job_paths(paths).queue), index=index)
    if not record.reader:
        return ProcessSpec(upload=upload, reading=None)
    trusted = (*upload.readers, *upload.upstreams, *filter(None, [secrets.public_key]))
    reading = ReadSpec(address=record.reader, access=access, trusted=trusted, indexes=(index,) if index else ())
    return ProcessSpec(upload=upload, reading=reading)


def _upload_spec(
    settings: Settings, record: ManagedMachine, access: CacheAccess, key: KeySource, queue: Queue
) -> UploadSpec:
    return UploadSpec.of(
        settings,
        access=access,
        queue=queue.directory,
        roots=queue.roots,
        began=record.began,
        trusted=effective.trusted_keys(record.nix),
        readers=settings.public_keys,
        key=key,
        dry_run=False,
        maintenance_interval=_MAINTENANCE_INTERVAL,
        lane=Lane.of_machine(),
    )


def _end_when_changed(given: Configuration, began: float) -> None:
    """End this process when the files have changed, and not changed again: they may be half written before; or when the
    next period of a throwaway cache has begun."""
    files, cache = given.secrets.values(), given.settings.cache
    first = last = [_state(file) for file in files]
    while not threading.Event().wait(_POLL):
        now = [_state(file) for file in files]
        is_over = cache is not None and cache.at(time.time()) != cache.at(began)
        if is_over or (now == last and now != first):
            log.line(
                "a new period has begun: restarting"
                if is_over
                else "the configuration or a secret has changed: restarting"
            )
            os._exit(0)  # as at any other moment: nothing is lost
        last = now


def _state(file: Path) -> tuple[int, int]:
    """Inode and time of change, to tell one file from the next. Constant for a file that this user cannot see."""
    try:
        status = file.stat()
    except OSError:
        return 0, 0
    return status.st_ino, status.st_mtime_ns


if __name__ == "__main__":
    raise SystemExit(main())
