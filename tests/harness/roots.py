"""The three Nix generations, each as a Debian root directory that machines lay their own layer over.

A root is Debian's state right after `apt install nix-bin`: no /nix yet, no build users, no nix.conf. Debian
12 has a root of its own although it may be the host as well: the host stays untouched, and others will do.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness import cache

PACKAGES = (
    *("nix-bin", "busybox-static", "ca-certificates", "curl", "git", "iproute2", "mount", "procps"),
    *("python3", "python3-pip", "python3-venv", "rsync", "sudo", "xz-utils"),
)


@dataclass(frozen=True)
class Generation:
    """A Nix that people still meet in the field, by the Debian suite that carries it."""

    suite: str
    nix: str

    def __str__(self) -> str:
        return f"nix-{self.nix}"


OLD = Generation("bookworm", "2.8.0")
RECENT = Generation("trixie", "2.26.3")
NEW = Generation("sid", "2.34.8")
GENERATIONS = (OLD, RECENT, NEW)


def root(generation: Generation) -> Path:
    """The generation's root directory, made by mmdebstrap (20 s) when the harness's cache lacks it."""
    name = f"root-{generation.suite}-{cache.key(generation.suite, *PACKAGES)}"
    return cache.entry(name, lambda path: bootstrap(generation.suite, path))


def python_version(generation: Generation) -> str:
    """The minor version of the generation's Python, as `3.11`."""
    return (root(generation) / "usr/bin/python3").readlink().name.removeprefix("python")


def bootstrap(suite: str, path: Path, packages: Sequence[str] = PACKAGES, options: Sequence[str] = ()) -> None:
    """A Debian root with these packages."""
    command = [
        "mmdebstrap",
        "--quiet",
        "--variant=apt",
        f"--include={','.join(packages)}",
        # A mirror frozen at a date outlives the one in its release file; the signature is still checked.
        '--aptopt=Acquire::Check-Valid-Until "false"',
        "--dpkgopt=force-unsafe-io",
        *options,
        suite,
        str(path),
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
