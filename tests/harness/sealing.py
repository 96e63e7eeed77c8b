"""Jobs on a machine as hosted runners are, with sudo for the job's user, hardened or left open."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.harness import binary_cache, nix, product, programs
from tests.harness.commands import Completed
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.roots import RECENT, Generation, root
from tests.harness.servers import Server, rclone_http

KEY = "/home/runner/key"
SOLVED = "4. the pipeline's code cannot take the key or poison the cache: yes"
NOT_SOLVED = "4. the pipeline's code cannot take the key or poison the cache: no, "


@dataclass(frozen=True)
class Sealed:
    """A job, the server that it pushes to, and the secret key that it was given."""

    job: Job
    server: Server
    key: str

    @property
    def secret(self) -> str:
        """The part of the key that must be found nowhere."""
        return self.key.partition(":")[2]

    @property
    def machine(self) -> Machine:
        return self.job.machine

    def attack(self, script: str, *, user: str = "runner") -> Completed:
        """Runs a script as the job's own code in a later step; it may fail."""
        return self.machine.sh(script, user=user, env=self.job.environment(), check=False, timeout=120)

    def python(self, name: str, *words: str, user: str = "runner") -> Completed:
        """An attack that is one of the harness's programs."""
        return self.machine.run(programs.python(name, *words), user=user, check=False, timeout=120)

    def uploader(self) -> int:
        """Its process."""
        (pid,) = self.job.uploaders()
        return pid

    def cached(self) -> dict[str, dict[str, str]]:
        return binary_cache.narinfos(self.server.directory)


@contextmanager
def job(
    directory: Path,
    generation: Generation = RECENT,
    prepare: Callable[[Machine], object] = lambda _: None,
    inputs: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Sealed]:
    """Debian's Nix with a daemon, the user `runner` with sudo, and the key in a file of theirs; not set up yet."""
    with Machine(root(generation), product.binds()) as made:
        made.add_user("runner", sudo=True)
        nix.with_daemon(made)
        prepare(made)
        key = Job(made).keygen()
        made.write(KEY, key, mode=0o600, owner="runner")
        with rclone_http(made, directory / "cache") as server:
            server.wait()
            given = {"cache": server.url, "signing-key": f"file:{KEY}", "harden": "true", **inputs}
            yield Sealed(Job(made, "runner", given), server, key)


@contextmanager
def sealed(directory: Path, prepare: Callable[[Machine], object] = lambda _: None) -> Iterator[Sealed]:
    """The same, hardened, and set up with the report that limitation 4 is solved."""
    with job(directory, prepare=prepare) as made:
        said = made.job.said("setup")
        assert SOLVED in said, said
        yield made
