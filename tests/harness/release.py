"""A Nix release tarball, laid out as the publisher's, made from a root's Debian Nix.

It stands in where the publisher cannot be reached, and for the generations that nobody would download. It
runs on machines of the suite it was made from: its libraries come along, the libc is the machine's.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tests.harness import cache, roots
from tests.harness.machine import Bind, Machine
from tests.harness.roots import Generation
from tests.harness.tools import program

SCRIPT = Path(__file__).with_name("release.sh")
SYSTEM_OF_MACHINE = {"x86_64": "x86_64-linux", "aarch64": "aarch64-linux"}


@dataclass(frozen=True)
class Release:
    """A release tarball on the host, and the hash in hex that an installer checks."""

    path: Path
    sha256: str
    version: str
    system: str

    def bind(self) -> Bind:
        return Bind(self.path, f"/releases/{self.path.name}")

    def url(self) -> str:
        """Its address on a machine that has `bind()`."""
        return f"file://{self.bind().target}"


def release(generation: Generation) -> Release:
    """The generation's release, packed (10 s) when the harness's cache lacks it."""
    root = roots.root(generation)
    name = f"release-{generation.suite}-{cache.key(root.name, SCRIPT.read_bytes())}"
    made = cache.entry(name, lambda path: _pack(root, generation, path))
    (path,) = made.glob("nix-*.tar.xz")
    return describe(path)


def describe(path: Path) -> Release:
    """A tarball named `nix-VERSION-SYSTEM.tar.xz`, the publisher's too."""
    version, system = path.name.removeprefix("nix-").removesuffix(".tar.xz").split("-", 1)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Release(path, digest, version, system)


def _pack(root: Path, generation: Generation, out: Path) -> None:
    binds = [
        Bind(SCRIPT, "/opt/release.sh"),
        Bind(program("patchelf"), "/usr/local/bin/patchelf"),
        Bind(out, "/out", writable=True),
    ]
    with Machine(root, binds) as machine:
        system = SYSTEM_OF_MACHINE[machine.run(["uname", "-m"]).stdout.strip()]
        machine.run(["/opt/release.sh", generation.nix, system, "/out"], timeout=300)
