"""What root does for a job whose user is not root: a few verbs, each a request and an answer in JSON.

Standard library only. Each verb imports what it needs, since the job waits for it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import Error, InputError
from ..system import probe
from ..system.files import UMASK
from ..system.net import network_environment
from ..system.process import Account
from .paths import machine

if TYPE_CHECKING:
    from .lockdown import LockdownRecord
    from .paths import Paths

KEEP: Final = b"keep"
Request = Mapping[str, Any]
Environ = Mapping[str, str]


def _namespaces(request: Request, environ: Environ) -> bool:
    return probe.namespaces()


def _install(request: Request, environ: Environ) -> None:
    from ..nix.install.release import Release
    from .installation import install

    install(machine(environ), "multi-user", Release(request["url"], request["sha256"]), environ)


def _register(request: Request, environ: Environ) -> None:
    from . import registrations
    from .registrations import Registration

    registrations.add(machine(environ), Registration.from_json(request), private=False)


def _start_daemon(request: Request, environ: Environ) -> None:
    from . import registrations

    registrations.start_daemon(machine(environ), Path(request["nix_bin"]), network_environment(environ))


def _remove(request: Request, environ: Environ) -> None:
    from . import registrations

    registrations.remove(machine(environ), request["job"], daemon=True, everything=request["everything"])


def _programs(request: Request, environ: Environ) -> list[str]:
    from ..trust import probes

    return probes.programs_of_root()


def _undo(request: Request, environ: Environ) -> None:
    from .undo import uninstall

    uninstall(machine(environ), daemon=True)


def _harden(request: Request, environ: Environ) -> _Provisional:
    from ..system import own_copy
    from . import lockdown, uploader_user

    places, reachable, own = machine(environ), map(Path, request["reachable"]), map(Path, request["own"])
    with places.lock():
        uploader_user.write_undo(next(places.program.glob("*/0"), None) or own_copy.make(places.program, [])[0])
    before = lockdown.close(places, request["user"], list(reachable), list(own))
    return _Provisional(places, request["job"], before)


@dataclass(frozen=True)
class _Provisional:
    """Hardening that ends with a set-up that fails, or is killed."""

    places: Paths
    job: str
    before: LockdownRecord

    def end(self, word: bytes) -> bool:
        """Keep it, or bring back what it took, which no uploader with a key lives to see; whether that was done."""
        from . import lockdown, uploader_user

        if word == KEEP:
            return True
        uploader_user.end(self.places.job(self.job))
        with self.places.lock():
            lockdown.reopen(self.places, self.before)
        return True


def _start_uploader(request: Request, environ: Environ) -> int:
    """Its number; it reads its job from our standard input, after the line that was the request."""
    from ..system import own_copy
    from ..system.descriptors import received
    from ..uploader.process.client import UploaderClient
    from . import uploader_user

    places = machine(environ)
    with places.lock():
        uid, gid = uploader_user.owner(places)
        program = own_copy.make(places.program, [Path(each) for each in request["packages"]], compiled=True)
        environment = {
            "HOME": uploader_user.HOME,
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
        from ..system.unexpected import explain

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
