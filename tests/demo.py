"""`make demo`: the main promise, shown end to end, with what a user has and nothing else.

Two throwaway machines without any Nix run a job each of `examples/demo` under act. All that they share is the
directory in which act keeps its Actions cache. The second must build nothing: what the first built is fetched.
"""

import hashlib
import platform
import re
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from nix_autocache.nix.install.release import PINNED_NIX, PUBLISHER, known_hashes, tarball_name
from tests.harness import act, cache, roots
from tests.harness.act import Outcome, Workflow
from tests.harness.machine import Bind, Machine
from tests.harness.release import Release, describe, release
from tests.harness.tools import PROJECT
from tests.harness.wheels import Wheelhouse, wheelhouse

EXAMPLE = PROJECT / "examples/demo"
GRAPH = 9  # store paths of examples/demo/default.nix
STEP = "book"
CACHE = "/root/.cache/actcache"  # act's own default
CONNECT_SECONDS = 3
OFFLINE = {"NIX_CONFIG": "download-attempts = 1"}  # the machines cannot reach the public cache: do not try again


@dataclass(frozen=True)
class Count:
    """The builds and copies in a log of Nix."""

    built: int
    substituted: int


def main() -> int:
    """The exit status: 0 if the second job built nothing and fetched the whole graph."""
    tarball = published() or made_from_debian()
    locks = [lock for lock in (PROJECT / "requirements/base.txt",) if lock.exists()]
    wheels = wheelhouse(locks, [roots.OLD])
    with tempfile.TemporaryDirectory() as directory:
        shared = Bind(Path(directory), CACHE, writable=True)
        first = job("build", tarball, wheels, shared)
        second = job("again", tarball, wheels, shared)
    counts = [count(outcome.logs.get(STEP, "")) for outcome in (first, second)]
    print(f"first job: {counts[0].built} built, {counts[0].substituted} substituted")
    print(f"second job: {counts[1].built} built, {counts[1].substituted} substituted", flush=True)
    succeeded = first.returncode == second.returncode == 0
    return 0 if succeeded and counts[1].built == 0 and counts[1].substituted >= GRAPH else 1


def published() -> Release | None:
    """The release that the action installs by default, if its publisher can be reached; downloaded once."""
    system = f"{platform.machine()}-linux"
    name = tarball_name(PINNED_NIX, system)

    def fetch(path: Path) -> None:
        with urllib.request.urlopen(f"{PUBLISHER}/nix-{PINNED_NIX}/{name}", timeout=CONNECT_SECONDS) as answer:
            data = answer.read()
        if hashlib.sha256(data).hexdigest() != known_hashes()[name]:
            raise OSError(f"what {PUBLISHER} serves is not the {name} that was published")
        (path / name).write_bytes(data)

    try:
        made = cache.entry(f"published-{PINNED_NIX}-{system}", fetch)
    except OSError as error:
        print(f"demo: no Nix from its publisher ({error})")
        return None
    print(f"demo: {name} from its publisher")
    return describe(made / name)


def made_from_debian() -> Release:
    tarball = release(roots.OLD)
    print(f"demo: {tarball.path.name} made from Debian's nix-bin instead")
    return tarball


def job(name: str, tarball: Release, wheels: Wheelhouse, shared: Bind) -> Outcome:
    """Runs one job of the example on a machine of its own, and prints what it printed."""
    binds = [*act.binds(), tarball.bind(), wheels.bind(), shared]
    environment = {"NIX_AUTOCACHE_NIX_URL": tarball.url(), "NIX_AUTOCACHE_NIX_SHA256": tarball.sha256}
    with Machine(roots.root(roots.OLD), binds) as machine:
        machine.remove_nix()
        found = machine.run(["sh", "-c", "command -v nix || ls -d /nix"], check=False).stdout
        assert not found, f"the machine already has {found}"
        files = (path for path in EXAMPLE.rglob("*") if path.is_file())
        act.git_project(machine, "/demo", {str(path.relative_to(EXAMPLE)): path.read_text() for path in files})
        print(f"\ndemo: a machine without Nix runs: act --job {name}", flush=True)
        workflow = Workflow("/demo", arguments=["--job", name], env=wheels.env() | environment | OFFLINE, cache=CACHE)
        outcome = act.act(machine, workflow)
    said = outcome.log if outcome.returncode == 0 else outcome.text
    print("".join(f"  {line}\n" for line in said.splitlines()), flush=True)
    return outcome


def count(log: str) -> Count:
    built = re.findall(r"building '/nix/store/[^']+'", log)
    copied = re.findall(r"copying path '/nix/store/[^']+' from", log)
    return Count(len(built), len(copied))


if __name__ == "__main__":
    sys.exit(main())
