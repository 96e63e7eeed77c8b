"""The steps of a job, as tables of contents. Start reading here.

`setup` opens the job, `finish` closes it; `flush` is the part of `finish` that anybody may call at any time.
What `setup` decided is kept in the job's directory, so that each step is a process of its own.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from . import keys, pushing, report, runner, trust
from .context import Context
from .errors import RunnerError
from .nix import install as installer
from .nix.store import Nix
from .places import GC_ROOTS
from .queue import Queue
from .registering import register, unregister
from .session import Session
from .uploader.client import Uploader
from .uploader.foreground import drain_here


def setup(context: Context) -> None:
    """Make Nix ready, register hook and cache, start the uploader, and see that a build reaches the queue."""
    with context.platform.group("nix-autocache: setting up"):
        row, nix = install(context)
        place = context.destination()
        verdict = pushing.judge(context, place)
        session = Session.begin(row.mode, nix, str(place.url), verdict)
        register(context, session, place)
        if verdict.push:
            session = pushing.start(context, session, place)
            register(context, session, place)
        session.save(context.job.setup)
        _tell_later_steps(context, session)


def install(context: Context) -> tuple[runner.Row, Nix]:
    """Choose the row of the mode table, and install Nix if that row says so; nothing to do when run again."""
    seen = runner.observe(context.environ, ours=context.places.installed.exists())
    row = runner.decide(seen, context.settings.mode)
    context.platform.info(f"mode {row.mode.value}: {row.found} ({seen})")
    return row, runner.find_nix(context.environ) or _install_release(context)


def flush(context: Context) -> None:
    """Wait until the queue is dry, by the uploader or by draining here; report it, and raise what fails the job."""
    session = Session.load(context.job.setup)
    if session is None or not session.push:
        reason = f"pull only: {session.reason}" if session else "nothing was set up in this job"
        context.platform.info(f"nothing to flush: {reason}")
        return
    begun = time.monotonic()
    with context.platform.group("nix-autocache: flushing"):
        left = pushing.drain(context, session, begun + context.settings.flush_timeout)
        result = report.Result(
            outcomes=tuple(context.job.queue.recorded()),
            unsettled=left,
            waited=time.monotonic() - begun,
            unsolved=session.unsolved,
            dry_run=session.dry_run,
        )
        report.flushed(context.platform, result, context.settings.on_upload_failure)


def finish(context: Context) -> None:
    """The end of a job: flush, stop the uploader, and take our lines out of nix.conf."""
    try:
        flush(context)
    finally:
        if not isinstance(sys.exc_info()[1], KeyboardInterrupt):
            _release(context)


def status(context: Context, *, as_json: bool) -> None:
    """Print how far the uploads are."""
    session = Session.load(context.job.setup)
    answer = Uploader(context.job.directory).ask({"do": "status"})
    facts = report.status(session, answer, context.job.queue)
    print(json.dumps(facts) if as_json else "\n".join(f"{name}: {value}" for name, value in facts.items()))


def push(context: Context, paths: list[str]) -> None:
    """Push paths and their closures now, without a queue that outlives this."""
    nix = runner.find_nix(context.environ)
    if nix is None:
        raise RunnerError("there is no Nix on PATH; `nix-autocache setup` installs one")
    begun = time.monotonic()
    with TemporaryDirectory(prefix="nix-autocache-") as directory:
        queue = Queue(Path(directory))
        queue.create()
        for path in nix.store_paths(paths):
            queue.add(path.base, [path])
        job = pushing.upload_job(context, nix, context.destination(), queue)
        tell = report.ProgressLines(context.platform)
        left = drain_here(job, begun + context.settings.flush_timeout, tell, check=True)
        result = report.Result(
            outcomes=tuple(queue.recorded()),
            unsettled=left,
            waited=time.monotonic() - begun,
            unsolved={},
            dry_run=job.dry_run,
        )
    report.flushed(context.platform, result, "fail")


def keygen(name: str) -> None:
    """Print a new secret key; its public half goes to standard error."""
    key = keys.generate(name)
    print(key)
    print(f"public key: {key.public}", file=sys.stderr)


def undo(context: Context) -> None:
    """Bring the machine back to what it was before the first setup."""
    where = context.places
    for directory in where.jobs.glob("*"):
        Uploader(directory).stop()
    unregister(context)
    if where.installed.exists():
        for made in json.loads(where.installed.read_text())["made"]:
            installer.remove_tree(Path(made))
    installer.remove_tree(GC_ROOTS)
    installer.remove_tree(where.state)
    context.platform.info("undone: nothing of nix-autocache is left but the caches and keys that it made")


def _install_release(context: Context) -> Nix:
    source = installer.release(context.settings)
    context.platform.info(f"installing Nix from {source.url}")
    made = [installer.ROOT] if not installer.ROOT.exists() else [p for p in installer.PARTS if not p.exists()]
    context.places.state.mkdir(parents=True, exist_ok=True)
    context.places.installed.write_text(json.dumps({"made": [str(path) for path in made]}))
    return installer.single_user(source)


def _release(context: Context) -> None:
    """Close this job; with the last one on the machine, take our lines out of nix.conf."""
    Uploader(context.job.directory).stop()
    if not any(Uploader(directory).ask({"do": "status"}) for directory in context.places.jobs.glob("*")):
        unregister(context)
    queue = context.job.queue
    if not any(queue.names()) and not queue.failures():
        installer.remove_tree(context.job.roots)
        installer.remove_tree(context.job.directory)


def _tell_later_steps(context: Context, session: Session) -> None:
    """Outputs for the workflow, and PATH and certificates where this Nix is not the machine's own."""
    platform = context.platform
    if runner.find_nix({"PATH": context.environ.get("PATH", "")}, profiles=False) is None:
        platform.add_path(Path(session.nix_bin))
    if installer.CERTIFICATES.exists() and "NIX_SSL_CERT_FILE" not in context.environ:
        platform.export("NIX_SSL_CERT_FILE", str(installer.CERTIFICATES / "etc/ssl/certs/ca-bundle.crt"))
    outputs = {
        "mode": session.mode,
        "nix-version": Nix(Path(session.nix_bin)).version(),
        "push": "true" if session.push else "false",
        "reason": session.reason,
        "substituter": session.cache,
        "limitations-solved": ",".join(str(number) for number in trust.LIMITATIONS if number not in session.unsolved),
    }
    for name, value in outputs.items():
        platform.set_output(name, value)
    for line in report.limitations(session.unsolved):
        platform.info(line)
