"""A read proxy that a CI host ended with the job's other processes: it leaves nix.conf before Nix is used again.

Otherwise each build would try its port several times, and some versions of Nix fail then.
"""

from __future__ import annotations

import socket
from typing import Final

from ..machine import registrations, root
from ..system import probe
from ..system.dataclass import replace
from ..uploader.process.client import UploaderClient
from ..uploader.read_proxy.address import HOST, Address
from . import nix_conf
from .context import Context
from .state import JobState

_PATIENCE: Final = 5.0  # seconds for an answer that needs no cache


def forgotten(context: Context, state: JobState) -> JobState:
    """The state without the read proxy, and nix.conf too, if neither it nor the uploader, which would start it again,
    answers; else the state as it is."""
    if state.reader is None or _answers(state.reader) or UploaderClient(context.job.directory).status():
        return state
    if state.separate_user and not probe.sudo():
        context.host.info("the read proxy is gone, and only root can take it out of nix.conf")
        return state
    context.host.info("the read proxy is gone: Nix does not read the cache any more")
    _take_out(context, state, state.reader.url)
    left = replace(state, reader=None, reads=tuple(url for url in state.reads if state.reader.url not in url))
    left.save(context.job.setup)
    return left


def _take_out(context: Context, state: JobState, url: str) -> None:
    if state.chosen.daemon:
        root.call("forget-substituter", {"job_name": context.job_name, "url": url}, context.environ)
    else:
        machine = nix_conf.job_paths(context, state)
        registrations.forget_substituter(machine, context.job_name, url, daemon=False)
    if nix_conf.has_own_file(context, state):
        registrations.forget_substituter(context.own_paths, context.job_name, url, daemon=False)


def _answers(address: Address) -> bool:
    """Whether anything answers there. Outside of the job's own path a read proxy does so without asking the cache."""
    try:
        with socket.create_connection((HOST, address.port), timeout=_PATIENCE) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return bool(connection.recv(1))
    except OSError:
        return False
