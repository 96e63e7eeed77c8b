"""The CI hosts that `init` knows, and which of them a repository is on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ..errors import InputError
from ..system import process
from ..system.dataclass import dataclass
from .options import Options
from .repository import Repository


@dataclass(frozen=True)
class HostRow:
    """A host's module, which has `connect(server, name, environ) -> Repository`; the module that writes its files,
    with `proposal(repository, setup, commit, branch) -> Proposal`; and its public server. Other servers have its
    name in theirs."""

    module: str
    files: str
    server: str


HOSTS: Final[Mapping[str, HostRow]] = {
    "github": HostRow("github.repository", "github.workflow_files", "https://github.com"),
    "gitlab": HostRow("gitlab.project", "gitlab.pipeline_files", "https://gitlab.com"),
}
_FOR_SSH: Final = {  # names of the public servers for SSH through a firewall, at port 443
    "https://ssh.github.com": "https://github.com",
    "https://altssh.gitlab.com": "https://gitlab.com",
}
_SCP: Final = re.compile(r"(?:[^@/]+@)?(?P<host>[\w.-]+):(?P<path>[^/].*)")  # git@host:owner/name


@dataclass(frozen=True)
class Place:
    """Where a repository is: the row of its host, the address of its server, and its name there."""

    host: str
    server: str
    name: str


def find(options: Options, directory: Path) -> Place:
    """The repository that the flags name, or that the checkout's remote `origin` is. Raises InputError."""
    if options.host and options.host not in HOSTS:
        raise InputError(f"--host: {options.host!r} is none of {', '.join(HOSTS)}")
    if options.repository and options.host:
        return Place(options.host, HOSTS[options.host].server, options.repository)
    server, name = parse_remote(_origin(directory))
    return Place(options.host or _host_of(server), server, options.repository or name)


def parse_remote(url: str) -> tuple[str, str]:
    """Address of the server and name of the repository, of a URL as `git remote` has it. Raises InputError."""
    if "://" not in url and (scp := _SCP.fullmatch(url)):
        server, path = f"https://{scp['host']}", scp["path"]
    else:
        parts = urlsplit(url)
        port = f":{_port(parts)}" if _port(parts) and parts.scheme in {"http", "https"} else ""
        if not parts.hostname:
            raise InputError(
                f"the remote `origin` is {url!r}, which is no repository of a CI host; give --repository and --host"
            )
        server, path = f"{'http' if parts.scheme == 'http' else 'https'}://{parts.hostname}{port}", parts.path
    return _FOR_SSH.get(server, server), path.strip("/").removesuffix(".git")


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        raise InputError(
            f"the remote `origin` is {parts.geturl()!r}, whose port is no number; mend it with `git remote set-url`"
        ) from None


def connect(place: Place, environ: Mapping[str, str]) -> Repository:
    """The repository, with the token that is found. Raises InputError if there is none or if it would be sent without
    TLS, and Error if it does not let us see the repository."""
    parts = urlsplit(place.server)
    if parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "localhost"}:
        raise InputError(f"{place.server}: a token is sent over https only; change the URL of the remote `origin`")
    module = import_module(f".{HOSTS[place.host].module}", __package__)
    repository: Repository = module.connect(place.server, place.name, environ)
    return repository


def _host_of(server: str) -> str:
    name = urlsplit(server).hostname or ""
    if found := next((host for host in HOSTS if host in name), ""):
        return found
    raise InputError(f"{name} may be any host; give --host {' or '.join(HOSTS)}")


def _origin(directory: Path) -> str:
    done = process.run(["git", "-C", str(directory), "remote", "get-url", "origin"])
    if done.status:
        raise InputError("there is no git remote `origin` here; give --repository and --host, or go into a checkout")
    return done.output.strip()
