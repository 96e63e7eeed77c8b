"""The uploader of a provisioned machine, as its own user: `python -sP -m nix_autocache.machine.managed.service`.

systemd, or `keeper` in its place, starts it with the configuration and all secrets in $CREDENTIALS_DIRECTORY, and
starts it again when it ends: on SIGHUP, and by itself when one of the files that they come from has changed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from ...nix import effective
from ...system import memory
from ...uploader.process import main as daemon
from ...uploader.process.client import UploaderClient
from ...uploader.read_proxy.launch import LISTENING
from ...uploader.secrets import SecretSources
from ...uploader.spec import UploadSpec
from ..managed_machine import ManagedMachine, place
from ..paths import Paths, machine
from . import configuration
from .configuration import Configuration

_FIRST: Final = 3  # SD_LISTEN_FDS_START
_MAINTENANCE_INTERVAL: Final = 600.0  # seconds, see Drain
_LOOK: Final = 2.0  # seconds between looks at the files


def main() -> int:
    """Upload what the machine's jobs build, until told to stop or to start anew."""
    memory.protect_memory()
    told = configuration.load(Path(os.environ["CREDENTIALS_DIRECTORY"], "configuration"))
    places = machine(os.environ)
    given = told.given_as_credentials(Path(os.environ["CREDENTIALS_DIRECTORY"]))
    watch = threading.Thread(target=_end_when_changed, args=(told.secrets.values(),), daemon=True)
    watch.start()
    return daemon.run(job(given, places), UploaderClient(place(places).directory).socket, None, _listening(os.environ))


def _listening(environ: Mapping[str, str]) -> int | None:
    """The descriptor of the reader's socket, as systemd hands it on (sd_listen_fds(3)), or `keeper`; None without."""
    if number := environ.get(LISTENING):
        return int(number)
    return _FIRST if environ.get("LISTEN_FDS") == "1" and environ.get("LISTEN_PID") == str(os.getpid()) else None


def job(told: Configuration, places: Paths) -> UploadSpec:
    """What the uploader is to do, with its key."""
    note, queue = ManagedMachine.load(places), place(places).queue
    assert note, "it is written before the service starts"
    cache = told.settings.cache
    assert cache, "the configuration has one"
    secrets = SecretSources(cache, told.settings.signing_key, told.environ).read()
    return UploadSpec.of(
        told.settings,
        queue=queue.directory,
        roots=queue.roots,
        nix_bin=Path(note.nix_bin),
        cache=cache,
        began=note.began,
        reader_port=note.reader_port,
        trusted=effective.trusted_keys(note.nix),
        readers=told.settings.public_keys,
        key=secrets.key,
        dry_run=False,
        environ=secrets.environ,
        maintenance_interval=_MAINTENANCE_INTERVAL,
    )


def _end_when_changed(files: Iterable[Path]) -> None:
    """Compared with the last look, so that a file is not read before whoever writes it has done so."""
    begun = last = _states(files)
    while not threading.Event().wait(_LOOK):
        now = _states(files)
        if now == last and now != begun:
            print("the configuration or a secret has changed: starting anew", flush=True)
            os._exit(0)  # as at any other moment: nothing is lost
        last = now


def _states(files: Iterable[Path]) -> list[tuple[int, int]]:
    return [_state(file) for file in files]


def _state(file: Path) -> tuple[int, int]:
    """What tells a file from another at that place; a file that only root may look at is not watched."""
    try:
        status = file.stat()
    except OSError:
        return 0, 0
    return status.st_ino, status.st_mtime_ns


if __name__ == "__main__":
    raise SystemExit(main())
