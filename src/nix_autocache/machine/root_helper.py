"""The verbs that root runs for a job whose user is not root, and the process that `root.call` starts for one.

It reads one line from standard input, `{"request": …, "environ": …}`, and writes one line, `{"answer": …}` or
`{"error": …, "input": …}`. `harden` then waits for a second line, see `Hardened`. Standard library only; each verb
imports what it needs, since the job waits.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import Error, InputError
from ..system import probe
from ..system.dataclass import dataclass
from ..system.files import UMASK
from ..system.net import network_environment
from ..system.process import Account
from .paths import Paths, machine

if TYPE_CHECKING:
    from .lockdown import LockdownRecord

KEEP: Final = b"keep"
"""The second line of `harden`, when the set-up succeeded."""
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

    registrations.remove(machine(environ), request["job_name"], daemon=True, everything=request["everything"])


def _forget_substituter(request: Request, environ: Environ) -> None:
    from . import registrations

    registrations.forget_substituter(machine(environ), request["job_name"], request["url"], daemon=True)


def _programs(request: Request, environ: Environ) -> list[str]:
    from ..trust.programs import programs_of_root

    return programs_of_root()


def _undo(request: Request, environ: Environ) -> None:
    from .undo import undo

    undo(machine(environ))


def _harden(request: Request, environ: Environ) -> Hardened:
    from ..system import own_copy
    from . import lockdown, uploader_user
    from .state_directory import locked

    paths, reachable, own = machine(environ), map(Path, request["reachable"]), map(Path, request["own"])
    with locked(paths):
        uploader_user.write_undo(next(paths.program.glob("*/0"), None) or own_copy.make(paths.program, [])[0])
    before = lockdown.close(paths, request["user"], list(reachable), list(own))
    return Hardened(paths, request["job_name"], before)


@dataclass(frozen=True)
class Hardened:
    """A lockdown that lasts only if the set-up says so: one that fails or is killed gets its root back."""

    paths: Paths
    job_name: str
    before: LockdownRecord

    def finish(self, line: bytes) -> bool:
        """Keep the lockdown if `line` is KEEP, else undo it; an uploader that has the key is killed first."""
        from . import lockdown, uploader_user
        from .state_directory import locked

        if line == KEEP:
            return True
        uploader_user.end(self.paths.job(self.job_name))
        with locked(self.paths):
            lockdown.reopen(self.paths, self.before)
        return True


def _start_uploader(request: Request, environ: Environ) -> int:
    """Returns its pid. It reads its job from our standard input, after the line that was the request."""
    from ..system import own_copy
    from ..system.descriptors import received
    from ..uploader.process.client import UploaderClient
    from . import uploader_user
    from .state_directory import locked

    paths = machine(environ)
    with locked(paths):
        uid, gid = uploader_user.owner(paths)
        program = own_copy.make(paths.program, [Path(each) for each in request["packages"]], compiled=True)
        environment = {
            "HOME": uploader_user.HOME,
            "PYTHONPATH": os.pathsep.join(map(str, program)),
            "PYTHONDONTWRITEBYTECODE": "1",  # a process with the key must load nothing that its user could write
        }
    uploader = UploaderClient(paths.job(request["job_name"]).directory)
    listening = received(request["listening"]) if request["listening"] else None
    return uploader.begin(environment, request["owner"], sys.stdin.fileno(), listening, Account(uid, gid)).pid


VERBS: Final[Mapping[str, Callable[[Request, Environ], object]]] = {
    "namespaces": _namespaces,
    "install": _install,
    "register": _register,
    "start-daemon": _start_daemon,
    "remove": _remove,
    "forget-substituter": _forget_substituter,
    "programs": _programs,
    "undo": _undo,
    "start-uploader": _start_uploader,
    "harden": _harden,
}


def main(verb: str) -> int:
    """Answer the request on standard input."""
    request = json.loads(_read_line(sys.stdin.fileno()))
    os.environ.update(request["environ"])
    os.umask(UMASK)
    answer: dict[str, Any]
    done: object = None
    try:
        done = VERBS[verb](request["request"], os.environ)
        answer = {"answer": None if isinstance(done, Hardened) else done}
    except (Error, OSError) as error:
        answer = {"error": str(error), "input": isinstance(error, InputError)}
    except Exception as error:
        from ..system.unexpected import explain

        answer = {"error": explain(error), "input": False}
    _write_line(answer)
    if isinstance(done, Hardened):
        _write_line(done.finish(_read_line(sys.stdin.fileno())))
    return 0


def _write_line(answer: object) -> None:
    with suppress(BrokenPipeError):  # the caller may be gone
        print(json.dumps(answer), flush=True)


def _read_line(stream: int) -> bytes:
    """Read a line and not a byte more: what follows is for the process that we start."""
    line = b""
    while (byte := os.read(stream, 1)) not in {b"", b"\n"}:
        line += byte
    return line


if __name__ == "__main__":
    os._exit(main(sys.argv[1]))  # the job waits, and an orderly exit takes 10 ms
