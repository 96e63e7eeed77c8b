"""What root does for a job whose user is not root: a few verbs, each a request and an answer in JSON.

`call` does it here when we are root, else in a process of ours under sudo, whose requests come on its standard input:
what is secret in them, as a proxy's password may be, is never in an argument that others can read.
Standard library only. Each verb imports what it needs, since the job waits for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import probe
from .errors import Error, InputError, RunnerError
from .places import machine
from .system.files import UMASK

if TYPE_CHECKING:
    from .uploader.client import Started

Request = Mapping[str, Any]
Environ = Mapping[str, str]


def _namespaces(request: Request, environ: Environ) -> bool:
    return probe.namespaces()


def _install(request: Request, environ: Environ) -> None:
    from .installation import install
    from .nix.release import Release

    install(machine(environ), "multi-user", Release(request["url"], request["sha256"]))


def _register(request: Request, environ: Environ) -> None:
    from . import registry
    from .registry import Registration

    registry.add(machine(environ), Registration.from_json(request), private=False)


def _start_daemon(request: Request, environ: Environ) -> None:
    from . import registry

    registry.start_daemon(machine(environ), Path(request["nix_bin"]), network_environment(environ))


def _remove(request: Request, environ: Environ) -> None:
    from . import registry

    registry.remove(machine(environ), request["job"], daemon=True, everything=request["everything"])


def _undo(request: Request, environ: Environ) -> None:
    from .installation import uninstall

    uninstall(machine(environ), daemon=True)


def _harden(request: Request, environ: Environ) -> None:
    from . import harden

    harden.close(machine(environ), request["user"], [Path(path) for path in request["reachable"]])


def _start_uploader(request: Request, environ: Environ) -> int:
    """Its number; it reads its job from our standard input, after the line that was the request."""
    from . import apart
    from .uploader.client import Uploader

    places = machine(environ)
    with places.lock():
        uid, gid = apart.owner(places)
        program = apart.program(places.program, [Path(directory) for directory in request["packages"]])
        environment = {
            "HOME": apart.HOME,
            "PYTHONPATH": os.pathsep.join(map(str, program)),
            "PYTHONPYCACHEPREFIX": str(apart.bytecode(places)),
        }
    uploader = Uploader(places.job(request["job"]).directory)
    started = uploader.begin(environment, request["owner"], sys.stdin.fileno(), user=uid, group=gid, extra_groups=[])
    return started.pid


VERBS: Final[Mapping[str, Callable[[Request, Environ], object]]] = {
    "namespaces": _namespaces,
    "install": _install,
    "register": _register,
    "start-daemon": _start_daemon,
    "remove": _remove,
    "undo": _undo,
    "start-uploader": _start_uploader,
    "harden": _harden,
}
_NETWORK: Final = ("PROXY", "SSL_CERT_FILE", "CA_BUNDLE")


def call(verb: str, request: Request, environ: Environ) -> Any:
    """Have root do it; its answer. Raises the Error that it raised there."""
    if os.geteuid() == 0:
        return VERBS[verb](request, environ)
    done = subprocess.run(
        _command(verb), input=_line(request, environ), capture_output=True, text=True, cwd="/", check=False
    )
    return _answer(done.stdout, done.stderr)


def start_uploader(request: Request, environ: Environ) -> Started:
    """Have root start the uploader as a user of its own. It waits for its job, which no other process sees."""
    from .uploader.client import Started

    pipe = subprocess.PIPE
    # In a session of its own sudo has no terminal, and so puts nothing between us and the uploader.
    process = subprocess.Popen(
        _command("start-uploader"), stdin=pipe, stdout=pipe, stderr=pipe, cwd="/", start_new_session=True
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    with suppress(BrokenPipeError):
        process.stdin.write(_line(request, environ).encode())
        process.stdin.flush()
    said = process.stdout.read().decode(), process.stderr.read().decode(errors="replace")
    process.wait()
    return Started(process, apart=_answer(*said))


def _command(verb: str) -> Sequence[str]:
    ours = ["env", f"PYTHONPATH={Path(__file__).parents[1]}", sys.executable, "-sSP", "-m", __name__, verb]
    return ours if os.geteuid() == 0 else ["sudo", "-n", *ours]


def _line(request: Request, environ: Environ) -> str:
    return json.dumps({"request": request, "environ": network_environment(environ)}) + "\n"


def _answer(said: str, complained: str) -> Any:
    try:
        answer = json.loads(said)
    except ValueError:
        reason = (complained.strip() or "it said nothing").splitlines()[-1]
        raise RunnerError(f"sudo cannot run our part that needs root: {reason}") from None
    if "error" in answer:
        raise (InputError if answer["input"] else RunnerError)(answer["error"])
    return answer["answer"]


def network_environment(environ: Environ) -> dict[str, str]:
    """What of the environment a download needs: proxies and certificates."""
    return {name: value for name, value in environ.items() if name.upper().endswith(_NETWORK)}


def main(verb: str) -> int:
    """Answer the request on standard input."""
    said = json.loads(_read_line(sys.stdin.fileno()))
    os.environ.update(said["environ"])
    os.umask(UMASK)
    answer: dict[str, Any]
    try:
        answer = {"answer": VERBS[verb](said["request"], os.environ)}
    except (Error, OSError) as error:
        answer = {"error": str(error), "input": isinstance(error, InputError)}
    except Exception as error:
        from .unexpected import explain

        answer = {"error": explain(error), "input": False}
    print(json.dumps(answer), flush=True)
    return 0


def _read_line(stream: int) -> bytes:
    """The request and not a byte more: what follows is for whom we start."""
    line = b""
    while (byte := os.read(stream, 1)) not in {b"", b"\n"}:
        line += byte
    return line


if __name__ == "__main__":
    os._exit(main(sys.argv[1]))  # the job waits, and to take the interpreter apart takes 10 ms
