"""Where the read proxy is, as Nix is told: a port of this machine, and a name that only this job's Nix asks for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from ...system.dataclass import dataclass

HOST: Final = "127.0.0.1"


@dataclass(frozen=True)
class Address:
    """`nonce` is the first part of the path of each request. Nix remembers for an hour what a URL did not have, so each
    job has another; empty for a machine that an older version provisioned."""

    port: int
    nonce: str

    @classmethod
    def fresh(cls, port: int) -> Address:
        return cls(port, os.urandom(8).hex())

    @property
    def url(self) -> str:
        """The URL for Nix, instead of the cache's own."""
        return f"http://{HOST}:{self.port}" + (f"/{self.nonce}" if self.nonce else "")


def is_proxied(environ: Mapping[str, str]) -> bool:
    """True if Nix would use an HTTP proxy even for this machine. As in curl, HTTP_PROXY does not count."""
    exempt = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").replace(",", " ").split()
    return bool(environ.get("http_proxy")) and not {"*", HOST}.intersection(exempt)
