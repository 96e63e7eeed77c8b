"""A throwaway machine: a Debian root under a layer in memory, with namespaces of its own.

Everything inside may be changed or killed; nothing reaches the host, there is no network but the machine's
own loopback, and the end of the test process, even by SIGKILL, is the end of the machine.
Commands enter with an environment of exactly PATH, HOME and LANG: what a test relies on, it passes.
"""

import itertools
import os
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.harness import commands, namespaces
from tests.harness.commands import Command, CommandFailed, Completed, Process
from tests.harness.namespaces import ProcessInfo

BOOT = Path(__file__).with_name("boot.sh")
SPACES = ("--mount", "--pid", "--ipc", "--uts", "--propagation=private")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
REMOVE_NIX = r"""
packages=$(dpkg-query --show --showformat='${Package}\n' 'nix-bin' 'libnix*' 2>/dev/null || true)
dpkg-query --listfiles $packages | while read -r file; do [ -d "$file" ] || rm -f "$file"; done
rm -rf /nix /etc/nix /root/.cache/nix
"""


@dataclass(frozen=True)
class Bind:
    """A path of the host that the machine sees at `target`, read-only unless `writable`."""

    source: Path
    target: str
    writable: bool = False

    def words(self) -> tuple[str, str, str]:
        return ("rw" if self.writable else "ro", str(self.source.resolve(strict=True)), self.target)


@dataclass
class Machine:
    """A context manager; `root` is shared by all machines made from it and stays pristine."""

    root: Path
    binds: Sequence[Bind] = ()
    share_network_with: "Machine | None" = None
    """Another machine: what listens on its loopback is reached from this one."""
    init_script: Path | None = None
    """A script that boot.sh sources to run another process 1."""
    init: int = field(default=0, init=False)
    """The host's number for the machine's process 1."""
    _outer: subprocess.Popen[bytes] = field(init=False, repr=False)
    _work: Path = field(init=False, repr=False)
    _logs: Iterator[int] = field(default_factory=itertools.count, init=False, repr=False)

    def __enter__(self) -> Self:
        self._work = Path(tempfile.mkdtemp(prefix="machine-"))
        (self._work / "layer").mkdir()
        with ExitStack() as undo:
            undo.callback(shutil.rmtree, self._work)
            self._boot()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kills everything inside and returns when all of it is gone; again is harmless."""
        if not self._work.exists():
            return
        ended = os.pidfd_open(self.init)
        self._outer.kill()
        select.select([ended], [], [], 10)
        os.close(ended)
        self._outer.communicate()
        shutil.rmtree(self._work)

    def run(
        self,
        command: Sequence[str],
        *,
        user: str = "root",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        timeout: float = 60.0,
        check: bool = True,
        stdin: str | bytes | None = None,
    ) -> Completed:
        """Runs a command, in the user's home unless told where; CommandFailed says what it printed."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = commands.run(self._command(command, user, env, cwd), data, timeout, self.processes)
        if check and done.returncode != 0:
            raise CommandFailed(f"exit {done.returncode}", done.command, done.stdout + done.stderr)
        return done

    def sh(
        self,
        script: str,
        *,
        user: str = "root",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        timeout: float = 60.0,
        check: bool = True,
        stdin: str | bytes | None = None,
    ) -> Completed:
        """`run` of a script that ends at its first failing command."""
        command = ["sh", "-euc", script]
        return self.run(command, user=user, env=env, cwd=cwd, timeout=timeout, check=check, stdin=stdin)

    def start(
        self,
        command: Sequence[str],
        *,
        user: str = "root",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Process:
        """Runs a command in the background."""
        return commands.start(self._command(command, user, env, cwd), self._work / f"{next(self._logs)}.log")

    def write(self, path: str, text: str | bytes, mode: int = 0o644, owner: str | None = None) -> None:
        script = 'mkdir -p "${1%/*}"; cat >"$1"; chmod "$2" "$1"; [ -z "$3" ] || chown "$3": "$1"'
        self.run(["sh", "-euc", script, "write", path, f"{mode:o}", owner or ""], stdin=text)

    def read(self, path: str) -> str:
        return self.run(["cat", path]).stdout

    def exists(self, path: str) -> bool:
        return self.run(["test", "-e", path], check=False).returncode == 0

    def add_user(self, name: str, sudo: bool = False) -> None:
        """A user with a home and bash; with `sudo`, root without a password, as on a hosted runner."""
        self.run(["useradd", "--create-home", "--shell", "/bin/bash", name])
        if sudo:
            self.write(f"/etc/sudoers.d/{name}", f"{name} ALL=(ALL) NOPASSWD: ALL\n", mode=0o440)

    def remove_nix(self) -> None:
        """Removes Nix as if it had never been there; the other packages stay, busybox too."""
        self.sh(REMOVE_NIX)

    def processes(self) -> list[ProcessInfo]:
        """Everything that runs inside, except its init."""
        accounts = (line.split(":") for line in self._passwd().splitlines())
        users = {int(account[2]): account[0] for account in accounts}
        return [process for process in namespaces.processes(self.init, users) if process.pid != 1]

    @contextmanager
    def network(self) -> Iterator[None]:
        """In this block the calling thread opens its sockets inside the machine: a boto3 client, for one."""
        with namespaces.network_of(self.init):
            yield

    def _passwd(self) -> str:
        command = self._command(["cat", "/etc/passwd"], "root", None, "/")
        return commands.run(command, None, 10, list).stdout

    def _boot(self) -> None:
        other = self.share_network_with
        net = ["--net"] if other is None else []
        join = [] if other is None else ["nsenter", f"--net=/proc/{other.init}/ns/net"]
        binds = [word for bind in self.binds for word in bind.words()]
        unshare = [*join, "unshare", *SPACES, *net, "--fork", "--kill-child=SIGKILL"]
        words = [*unshare, str(BOOT), str(self.root), str(self._work / "layer"), *binds]
        pipe = subprocess.PIPE
        env = {**os.environ, "INIT": str(self.init_script or "")}
        self._outer = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, env=env)
        assert self._outer.stdout is not None
        if self._outer.stdout.readline() != b"ready\n":
            error = commands.text(self._outer.communicate()[1])
            raise CommandFailed("cannot boot", Command(tuple(words), (), self.root), error)
        self.init = namespaces.only_child(self._outer.pid)

    def _command(self, words: Sequence[str], user: str, env: Mapping[str, str] | None, cwd: str | None) -> Command:
        home = "/root" if user == "root" else f"/home/{user}"
        variables = {"PATH": PATH, "HOME": home, "LANG": "C.UTF-8", **(env or {})}
        entry = (
            *f"nsenter --target {self.init} --mount --pid --ipc --uts --net --root --wd".split(),
            *f"setpriv --reuid={user} --regid={user} --init-groups --".split(),
            *(
                "env",
                "-i",
                f"--chdir={cwd or home}",
                *(f"{name}={value}" for name, value in variables.items()),
            ),
            *words,
        )
        return Command(tuple(words), entry, self.root)
