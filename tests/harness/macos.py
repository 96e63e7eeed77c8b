"""A machine that our program takes for macOS with an existing Nix: no /proc, Apple's tools, and a Python that says so.

It stays a Linux machine. What is imitated is what the program asks for: `sys.platform`, the calls whose answers differ
(tests/harness/programs/macos.py), `launchctl`, which restarts the daemon, `sysctl`, and the links of /etc and /var into
/private. Nix 2.8 is the only one here that runs without /proc.
"""

from tests.harness import nix, programs
from tests.harness.machine import Machine

CONFIG = f"{nix.CONFIG}sandbox = false\nbuild-users-group =\n"
_CALLS = "/private/calls"
_TOOLS = {
    "launchctl": f"""\
[ "$(id -u)" = 0 ] || {{ echo "Could not kickstart service $3: 1: Operation not permitted" >&2; exit 1; }}
[ "$1 $2 $3" = "kickstart -k SERVICE" ] || {{ echo "Could not find service $3 in domain for system" >&2; exit 113; }}
[ ! -e /private/daemon ] || kill "$(cat /private/daemon)" 2>/dev/null || true
rm -f {nix.SOCKET}
setsid nix-daemon </dev/null >/dev/null 2>&1 &
echo $! >/private/daemon
""",
    "sysctl": """[ "$*" = "-n kern.boottime" ] && echo "{ sec = $(($(date +%s) - 60)), usec = 81 } a minute ago"\n""",
    "dscl": "exit 1\n",
}
_LINKS = """\
mkdir /private
for name in etc var; do
  cp -a "/$name" /private/
  rm -rf "/$name"
  ln -s "private/$name" "/$name"
done
"""


def imitate(machine: Machine, service: str = "system/org.nixos.nix-daemon") -> None:
    """From now on the machine is macOS, whose launchd keeps Nix's daemon as `service`. The daemon runs."""
    machine.write("/etc/nix/nix.conf", CONFIG)
    machine.sh(_LINKS)
    machine.sh(f"touch {_CALLS}; chmod 0666 {_CALLS}")
    for name, script in _TOOLS.items():
        text = script.replace("SERVICE", service)
        machine.write(f"/usr/local/bin/{name}", f'#!/bin/sh\necho "{name} $*" >>{_CALLS}\n{text}', mode=0o755)
    machine.sh("cat >>/usr/lib/python3.11/pathlib.py", stdin=programs.source("macos.py"))
    machine.sh(f"umount -l /proc; launchctl kickstart -k {service}; until [ -S {nix.SOCKET} ]; do :; done")
    calls(machine)


def calls(machine: Machine) -> list[str]:
    """The command lines of Apple's tools that were run since this was asked last."""
    return machine.sh(f"cat {_CALLS}; : >{_CALLS}").stdout.splitlines()


def end_daemon(machine: Machine) -> None:
    """The daemon ends, and launchd does not notice."""
    machine.sh('kill "$(cat /private/daemon)"')
