"""What root does for a job whose user is not root: a few verbs, each a request and an answer in JSON.

`call` does it here when we are root, else in a process of ours under sudo, whose requests come on its standard input:
what is secret in them, as a proxy's password may be, is never in an argument that others can read.
Standard library only. Each verb imports what it needs, since the job waits for it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .errors import Error, InputError, RunnerError
from .places import STATE, machine
from .system import probe, process
from .system.files import UMASK, is_only_of
from .system.process import Account, Process

if TYPE_CHECKING:
    from .harden import Hardened
    from .places import Places
    from .uploader.process.client import Started

Request = Mapping[str, Any]
Environ = Mapping[str, str]


def _namespaces(request: Request, environ: Environ) -> bool:
    return probe.namespaces()


def _install(request: Request, environ: Environ) -> None:
    from .installation import install
    from .nix.install.release import Release

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


def _programs(request: Request, environ: Environ) -> list[str]:
    from .trust import probes

    return probes.programs_of_root()


def _undo(request: Request, environ: Environ) -> None:
    from .installation import uninstall

    uninstall(machine(environ), daemon=True)


def _harden(request: Request, environ: Environ) -> _Provisional:
    from . import apart, harden
    from .system import own_copy

    places, reachable, own = machine(environ), map(Path, request["reachable"]), map(Path, request["own"])
    with places.lock():
        apart.write_undo(next(places.program.glob("*/0"), None) or own_copy.make(places.program, [])[0])
    before = harden.close(places, request["user"], list(reachable), list(own))
    return _Provisional(places, request["job"], before)


@dataclass(frozen=True)
class _Provisional:
    """Hardening that ends with a set-up that fails, or is killed."""

    places: Places
    job: str
    before: Hardened

    def end(self, word: bytes) -> bool:
        """Keep it, or bring back what it took, which no uploader with a key lives to see; whether that was done."""
        from . import apart, harden

        if word == _KEEP:
            return True
        apart.end(self.places.job(self.job))
        with self.places.lock():
            harden.reopen(self.places, self.before)
        return True


def _start_uploader(request: Request, environ: Environ) -> int:
    """Its number; it reads its job from our standard input, after the line that was the request."""
    from . import apart
    from .system import own_copy
    from .system.descriptors import received
    from .uploader.process.client import UploaderClient

    places = machine(environ)
    with places.lock():
        uid, gid = apart.owner(places)
        program = own_copy.make(places.program, [Path(each) for each in request["packages"]], compiled=True)
        environment = {
            "HOME": apart.HOME,
            "PYTHONPATH": os.pathsep.join(map(str, program)),
            "PYTHONDONTWRITEBYTECODE": "1",  # what its own user could write, nobody with the key may load
        }
    uploader = UploaderClient(places.job(request["job"]).directory)
    listening = received(request["listening"]) if request["listening"] else None
    return uploader.begin(environment, request["owner"], sys.stdin.fileno(), listening, Account(uid, gid)).pid


VERBS: Final[Mapping[str, Callable[[Request, Environ], object]]] = {
    "namespaces": _namespaces,
    "install": _install,
    "register": _register,
    "start-daemon": _start_daemon,
    "remove": _remove,
    "programs": _programs,
    "undo": _undo,
    "start-uploader": _start_uploader,
    "harden": _harden,
}
_KEEP: Final = b"keep"
_NETWORK: Final = ("PROXY", "SSL_CERT_FILE", "CA_BUNDLE")


def call(verb: str, request: Request, environ: Environ) -> Any:
    """Have root do it; its answer. Raises the Error that it raised there."""
    if os.geteuid() == 0:
        return VERBS[verb](request, environ)
    done = process.run(_command(verb), given=_line(request, environ).encode())
    return _answer(done.output, done.error)


@dataclass(frozen=True)
class Hardening:
    """Root's process that hardened this machine, and waits for the end of the set-up."""

    process: Process

    def keep(self) -> None:
        self._end(_KEEP + b"\n")

    def give_up(self) -> bool:
        """Bring back what was taken; whether that was possible."""
        return self._end(b"")

    def _end(self, word: bytes) -> bool:
        said, _ = self.process.communicate(word)
        return said.strip() == b"true"


def harden(request: Request, environ: Environ) -> Hardening:
    """Have root take itself away from a user, until the set-up fails or ends. Raises the Error that it raised there."""
    root = _begin("harden", request, environ)  # it outlives us, however we end
    assert root.stdout
    assert root.stderr
    said = root.stdout.readline().decode()
    _answer(said, "" if said else root.stderr.read().decode(errors="replace"))
    return Hardening(root)


def start_uploader(request: Request, environ: Environ) -> Started:
    """Have root start the uploader as a user of its own. It waits for its job, which no other process sees."""
    from .uploader.process.client import Started

    root = _begin("start-uploader", request, environ)
    assert root.stdout
    assert root.stderr
    said = root.stdout.read().decode(), root.stderr.read().decode(errors="replace")
    root.wait()
    return Started(root, apart=_answer(*said))


def _begin(verb: str, request: Request, environ: Environ) -> Process:
    """Root's process, given its request; more may follow on its standard input.

    In a session of its own sudo has no terminal, and so puts nothing between us and what it starts.
    """
    pipe = process.PIPE
    begun = process.start(_command(verb), given=pipe, output=pipe, errors=pipe, session=True)
    assert begun.stdin
    with suppress(BrokenPipeError):
        begun.stdin.write(_line(request, environ).encode())
        begun.stdin.flush()
    return begun


def _command(verb: str) -> Sequence[str]:
    source = _roots_copy() if verb == "undo" else None
    ours = ["env", f"PYTHONPATH={source or Path(__file__).parents[1]}", sys.executable, "-sSP", "-m", __name__, verb]
    return ours if os.geteuid() == 0 else ["sudo", "-n", *ours]


def _roots_copy() -> Path | None:
    """This program as nobody but root could have changed it since root copied it, where that was done."""
    found = STATE.glob("*/*/0")  # of the uploader, of the service or of the daemon's supervisor
    return next((path for path in found if is_only_of(path, {0})), None)


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
    done: object = None
    try:
        done = VERBS[verb](said["request"], os.environ)
        answer = {"answer": None if isinstance(done, _Provisional) else done}
    except (Error, OSError) as error:
        answer = {"error": str(error), "input": isinstance(error, InputError)}
    except Exception as error:
        from .system.unexpected import explain

        answer = {"error": explain(error), "input": False}
    _say(answer)
    if isinstance(done, _Provisional):
        _say(done.end(_read_line(sys.stdin.fileno())))
    return 0


def _say(answer: object) -> None:
    with suppress(BrokenPipeError):  # who asked may be gone
        print(json.dumps(answer), flush=True)


def _read_line(stream: int) -> bytes:
    """The request and not a byte more: what follows is for whom we start."""
    line = b""
    while (byte := os.read(stream, 1)) not in {b"", b"\n"}:
        line += byte
    return line


if __name__ == "__main__":
    os._exit(main(sys.argv[1]))  # the job waits, and to take the interpreter apart takes 10 ms
