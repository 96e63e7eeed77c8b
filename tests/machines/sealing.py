"""Jobs on a machine as hosted runners are, with sudo for the job's user, hardened or left open."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import MakeMachine
from tests.ground import nix, tool
from tests.ground.roots import RECENT, Generation
from tests.ground.servers import Server, rclone_http
from tests.machines.installing import Job

KEY = "/home/runner/key"


@dataclass(frozen=True)
class Sealed:
    """A job, the server that it pushes to, and the secret key that it was given."""

    job: Job
    server: Server
    key: str

    def cached(self) -> dict[str, dict[str, str]]:
        return tool.narinfos(self.server.directory)


@contextmanager
def job(machine: MakeMachine, directory: Path, generation: Generation = RECENT, **inputs: str) -> Iterator[Sealed]:
    """Debian's Nix with a daemon, the user `runner` with sudo, and the key in a file of theirs; not set up yet."""
    made = machine(generation, tool.binds())
    made.add_user("runner", sudo=True)
    nix.with_daemon(made)
    root = Job(made)
    key = root.run("keygen", "test-1").stdout.strip()
    made.write(KEY, key, mode=0o600, owner="runner")
    with rclone_http(made, directory / "cache") as server:
        server.wait()
        given = {"cache": server.url, "signing-key": f"file:{KEY}", "harden": "true", **inputs}
        yield Sealed(Job(made, "runner", {name: value for name, value in given.items() if value}), server, key)
