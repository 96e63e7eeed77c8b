"""Debian's Nix on a machine, made ready in the two ways people have it: without a daemon, and with one.

Debian's Nix has no /bin/sh in its sandbox, and as root wants build users that the package does not make. Both
are given here, not by the root, so that a test can also have the machine as the package leaves it.
"""

from tests.harness.commands import Process
from tests.harness.machine import Machine
from tests.harness.waiting import wait_for

CONFIG = """\
substituters =
extra-sandbox-paths = /bin/sh=/bin/busybox
experimental-features = nix-command flakes
"""
SOCKET = "/nix/var/nix/daemon-socket/socket"
BUILD_USERS = 4
NEXT_SECOND = "now=$(date +%s); until [ $(date +%s) != $now ]; do :; done"
"""Shell that ends in the next second: Nix records whole seconds."""


def without_daemon(machine: Machine, owner: str = "root") -> None:
    """Nix used directly by `owner`, whose store it becomes; no network is tried."""
    machine.write("/etc/nix/nix.conf", f"{CONFIG}build-users-group =\n")
    # A Nix since 2.24 that finds no /nix/var/nix builds into a store of its own below the user's home.
    machine.sh(f"mkdir -p /nix/store /nix/var/nix; chown -R {owner}: /nix")


def with_daemon(machine: Machine, extra: str = "") -> Process:
    """Build users and a running nix-daemon; unprivileged users find it by its socket."""
    machine.write("/etc/nix/nix.conf", CONFIG + extra)
    user = "useradd --system --no-create-home --gid nixbld --groups nixbld --shell /usr/sbin/nologin nixbld$n"
    machine.sh(f"groupadd --system nixbld; for n in $(seq {BUILD_USERS}); do {user}; done")
    return start_daemon(machine)


def start_daemon(machine: Machine) -> Process:
    daemon = machine.start(["nix-daemon"])
    wait_for(lambda: machine.exists(SOCKET) or not daemon.running(), "the daemon's socket")
    assert daemon.running(), daemon.text()
    return daemon


def build(machine: Machine, expression: str, user: str = "root") -> str:
    """Builds a Nix expression; the output paths, one a line."""
    return machine.run(["nix-build", "--no-out-link", "--expr", expression], user=user).stdout.strip()
