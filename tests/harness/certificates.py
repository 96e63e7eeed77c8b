"""A certificate of a private authority, made by a machine's openssl: what company networks have."""

from dataclasses import dataclass

from tests.harness import programs
from tests.harness.machine import Machine


@dataclass(frozen=True)
class Certificate:
    """Paths in the machine, in PEM: what clients are to trust, the certificate, its key."""

    authority: str
    certificate: str
    key: str


def issue(machine: Machine, host: str, directory: str = "/srv/tls") -> Certificate:
    """For a host name, and for what listens on 127.0.0.1."""
    machine.run(programs.shell("certificate.sh", directory, host))
    return Certificate(f"{directory}/ca.pem", f"{directory}/cert.pem", f"{directory}/key.pem")
