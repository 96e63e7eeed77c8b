"""A certificate of a private authority, made by a machine's openssl: what company networks have."""

from dataclasses import dataclass

from tests.harness.machine import Machine

_SCRIPT = """
mkdir -p "$1"; cd "$1"
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=private 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request -subj "/CN=$2" 2>/dev/null
printf "subjectAltName=DNS:$2,IP:127.0.0.1" >names
openssl x509 -req -in request -CA ca.pem -CAkey ca.key -out cert.pem -days 2 -extfile names 2>/dev/null
"""


@dataclass(frozen=True)
class Certificate:
    """Paths in the machine, in PEM: what clients are to trust, the certificate, its key."""

    authority: str
    certificate: str
    key: str


def issue(machine: Machine, host: str, directory: str = "/srv/tls") -> Certificate:
    """For a host name, and for what listens on 127.0.0.1."""
    machine.run(["sh", "-euc", _SCRIPT, "issue", directory, host])
    return Certificate(f"{directory}/ca.pem", f"{directory}/cert.pem", f"{directory}/key.pem")
