"""The account tools of Alpine, in place of Debian's: a busybox that has them, built from Debian's source in 30 s."""

from pathlib import Path

from tests.harness import cache
from tests.harness.machine import Machine
from tests.harness.roots import RECENT, bootstrap

SCRIPT = Path(__file__).with_name("busybox.sh")
_APPLETS = ("adduser", "addgroup", "deluser", "delgroup")
_REPLACED = (*_APPLETS, "useradd", "userdel", "groupadd", "groupdel")


def make_accounts(machine: Machine) -> None:
    """From now on the machine makes users as Alpine does, and cannot do so otherwise."""
    machine.sh(f"cd /usr/sbin; rm -f {' '.join(_REPLACED)}")
    for applet in _APPLETS:
        machine.write(f"/usr/sbin/{applet}", _busybox().read_bytes(), mode=0o755)


def _busybox() -> Path:
    return cache.entry(f"busybox-{cache.key(SCRIPT.read_bytes())}", _build) / "busybox"


def _build(path: Path) -> None:
    hooks = [
        f"upload {SCRIPT} /busybox.sh",
        'chroot "$1" sh /busybox.sh /busybox',
        f"download /busybox {path}/busybox",
    ]
    options = [f"--customize-hook={hook}" for hook in hooks]
    bootstrap(RECENT.suite, Path("/dev/null"), ("gcc", "libc6-dev", "make", "bzip2"), options)
