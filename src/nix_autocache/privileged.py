"""What root does for a job whose user is not root: a few verbs, each a request and an answer in JSON.

`call` does it here when we are root, else in a process of ours under sudo, whose requests come on its standard input:
what is secret in them, as a proxy's password may be, is never in an argument that others can read.
Standard library only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from . import probe, registry
from .errors import Error, InputError, RunnerError
from .installation import install, uninstall
from .nix.release import Release
from .places import machine
from .registry import Registration

Request = Mapping[str, Any]
Environ = Mapping[str, str]


def _namespaces(request: Request, environ: Environ) -> bool:
    return probe.namespaces()


def _install(request: Request, environ: Environ) -> None:
    install(machine(environ), "multi-user", Release(request["url"], request["sha256"]))


def _register(request: Request, environ: Environ) -> None:
    registry.add(machine(environ), Registration.from_json(request), private=False)


def _start_daemon(request: Request, environ: Environ) -> None:
    registry.start_daemon(machine(environ), Path(request["nix_bin"]), network_environment(environ))


def _remove(request: Request, environ: Environ) -> None:
    registry.remove(machine(environ), request["job"], daemon=True, everything=request["everything"])


def _undo(request: Request, environ: Environ) -> None:
    uninstall(machine(environ), daemon=True)


VERBS: Final[Mapping[str, Callable[[Request, Environ], object]]] = {
    "namespaces": _namespaces,
    "install": _install,
    "register": _register,
    "start-daemon": _start_daemon,
    "remove": _remove,
    "undo": _undo,
}
_NETWORK: Final = ("PROXY", "SSL_CERT_FILE", "CA_BUNDLE")


def call(verb: str, request: Request, environ: Environ) -> Any:
    """Have root do it; its answer. Raises the Error that it raised there."""
    if os.geteuid() == 0:
        return VERBS[verb](request, environ)
    said = {"request": request, "environ": network_environment(environ)}
    command = ["sudo", "-n", "env", f"PYTHONPATH={Path(__file__).parents[1]}", sys.executable, "-sSP", "-m", __name__]
    done = subprocess.run([*command, verb], input=json.dumps(said), capture_output=True, text=True, cwd="/")
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        reason = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise RunnerError(f"sudo cannot run our part that needs root: {reason}") from None
    if "error" in answer:
        raise (InputError if answer["input"] else RunnerError)(answer["error"])
    return answer["answer"]


def network_environment(environ: Environ) -> dict[str, str]:
    """What of the environment a download needs: proxies and certificates."""
    return {name: value for name, value in environ.items() if name.upper().endswith(_NETWORK)}


def main(verb: str) -> int:
    """Answer the request on standard input."""
    said = json.load(sys.stdin)
    os.environ.update(said["environ"])
    os.umask(0o022)
    answer: dict[str, Any]
    try:
        answer = {"answer": VERBS[verb](said["request"], os.environ)}
    except Error as error:
        answer = {"error": str(error), "input": isinstance(error, InputError)}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
