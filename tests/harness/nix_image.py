"""A machine as the inside of the image nixos/nix: a Nix without a daemon, few other programs, and no Python.

A stand-in for nixpkgs is on NIX_PATH. Its Python is in a binary cache of the machine, as nixpkgs' own is in
cache.nixos.org. Source of the image: docker.nix in Nix's repository.
"""

from collections.abc import Mapping
from pathlib import Path

from tests.harness import cache, roots
from tests.harness.machine import Bind, Machine
from tests.harness.roots import Generation

NIXPKGS = Path(__file__).with_name("nixpkgs")
_PACKAGES = "bash coreutils findutils grep tar gzip curl git nix-bin"
PROGRAMS = "/image/bin"
_CACHE = "/srv/official"
SUBSTITUTER = f"file://{_CACHE}?trusted=1"
_CONF = f"""\
build-users-group = nixbld
sandbox = false
substituters = {SUBSTITUTER}
"""
# nix.conf is in the store, since the image's files are links there; of /bin and /usr/bin there is only sh and env.
_MAKE = f"""
mkdir -p {PROGRAMS} /nix/store /nix/var/nix
dpkg-query --listfiles $1 | grep -E '^(/usr)?/bin/' | while read -r file; do ln -sf "$file" {PROGRAMS}; done
ln -s bash {PROGRAMS}/sh
groupadd --system nixbld
for n in 1 2 3; do useradd --system --no-create-home --gid nixbld --groups nixbld nixbld$n; done
mkdir /tmp/etc && cat >/tmp/etc/nix.conf
NIX_CONFIG='build-users-group =' nix-store --add /tmp/etc >/tmp/added
mkdir -p /etc/nix /nix/var/nix/gcroots
ln -s "$(cat /tmp/added)" /nix/var/nix/gcroots/image
ln -s "$(cat /tmp/added)/nix.conf" /etc/nix/nix.conf
rm -rf /tmp/* /usr/bin/python3* /usr/lib/python3* /usr/share/python-wheels
"""


def binds(generation: Generation) -> list[Bind]:
    """The stand-in for nixpkgs, and the binary cache with what it builds."""
    name = f"nixpkgs-{generation.suite}-{cache.key(*(path.read_bytes() for path in sorted(NIXPKGS.iterdir())))}"
    made = cache.entry(name, lambda path: _fill(generation, path))
    return [Bind(NIXPKGS, "/srv/nixpkgs"), Bind(made, _CACHE)]


def make(machine: Machine, *more: str) -> None:
    """Make it so. `more` are Debian packages whose programs stay on the image's PATH."""
    machine.run(["sh", "-euc", _MAKE, "make", " ".join([_PACKAGES, *more])], stdin=_CONF)


def environment() -> Mapping[str, str]:
    """What the image sets."""
    return {"PATH": PROGRAMS, "USER": "root", "NIX_PATH": "nixpkgs=/srv/nixpkgs"}


def _fill(generation: Generation, out: Path) -> None:
    binds = [Bind(NIXPKGS, "/srv/nixpkgs"), Bind(out, "/out", writable=True)]
    config = "build-users-group =\nsandbox = false\nsubstituters =\nexperimental-features = nix-command"
    copy = "nix copy --to file:///out $(nix-build --no-out-link --expr "
    copy += "'(import /srv/nixpkgs { config = { }; overlays = [ ]; }).python3')"
    with Machine(roots.root(generation), binds) as machine:
        machine.sh(copy, env={"NIX_CONFIG": config}, timeout=300)
