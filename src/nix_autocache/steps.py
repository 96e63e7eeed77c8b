"""The steps of a job, as tables of contents. Start reading here.

`setup` opens the job, `finish` closes it; `flush` is the part of `finish` that anybody may call at any time.
What `setup` decided is kept in the job's directory, so that each step is a process of its own. What changes the
machine is imported where it is done: a step that only uploads starts faster without.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from . import advice, managed, places, pushing, report, runner
from .context import Context
from .destination import Destination
from .nix.find import find_nix, real
from .nix.store import Nix
from .queue import hook
from .queue.directory import Queue
from .queue.outcomes import Outcome
from .runner import Mode
from .session import Session
from .system import probe
from .uploader.client import Uploader
from .uploader.progress import FlushResult

if TYPE_CHECKING:
    from .isolation import Isolation
    from .uploader.loopback import Waiting


def setup(context: Context) -> None:
    """Make Nix ready, register hook and cache, start the uploader, and see that a build reaches the queue."""
    from . import later
    from .isolation import Isolation

    with context.host.group("nix-autocache: setting up"):
        if (earlier := Session.load(context.job.setup)) and earlier.apart and not probe.sudo():
            context.host.info("this job is set up and hardened; an earlier set-up's inputs stay")
            later.tell(context, earlier)
            return
        row, seen = choose(context)
        nix = install(context, row)
        advice.warn(context, row, seen)
        advice.check_configuration(context, nix)
        if row.mode is Mode.MANAGED:
            session = managed.join(context, row, seen)
            session.save(context.job.setup)
        else:
            session = _open(context, Isolation(context, row, seen, context.destination()), nix)
        later.tell(context, session)


def _open(context: Context, isolation: Isolation, nix: Nix) -> Session:
    """A job with a hook, a queue and an uploader of its own."""
    place = isolation.place
    pushing.mask(context, place)
    verdict = pushing.judge(context, place, isolation.foreseen)
    if not context.settings.harden:
        pushing.announce(context, place, verdict)
    with pushing.reader_socket(context, place, verdict) as waiting:
        port = waiting.port if waiting else 0
        cache = place.url.without_secrets
        planned = Session.begin(isolation.row, nix, cache, verdict, apart=isolation.apart, reader_port=port)
        planned = _without_hook(context, planned)
        if planned.push and not planned.apart:
            place = place.trusting_itself(context.environ)
        return _begin(context, planned, place, isolation, waiting)


def _without_hook(context: Context, planned: Session) -> Session:
    """The plan, changed where the hook cannot be run: the store is scanned instead.

    Only the hook and root can write the queue of an uploader that is apart.
    """
    where = places.machine(context.environ) if planned.chosen.daemon else context.places
    reason = hook.obstacle(where.hook) if planned.push and not planned.scan else ""
    if not reason:
        return planned
    instead = "not pushing" if planned.apart else "what is new in the store is looked for at the end of the job instead"
    context.host.warning(f"{reason}: {instead}")
    return planned.only_pulling(reason) if planned.apart else planned.scanning(reason)


def _begin(
    context: Context, planned: Session, place: Destination, isolation: Isolation, waiting: Waiting | None
) -> Session:
    """Register, and start to upload; the session as it came out. A set-up that fails leaves nothing registered."""
    from .in_effect import check, tell_nix
    from .registering import unregister, vouch

    try:
        place = vouch(context, place, planned.nix)
        planned = tell_nix(context, planned, place, isolation.seen)
        session, started = pushing.start(context, planned, place, waiting) if planned.push else (planned, None)
        with isolation.taking_root_away():
            if context.settings.harden:
                session = isolation.judge(session)
            session, trusted = pushing.hand_over(context, session, place, started) if started else (session, place)
            decided = (session.push, session.scan, session.unread, trusted)
            if decided != (planned.push, planned.scan, planned.unread, place) and not session.apart:
                session = tell_nix(context, session, trusted, isolation.seen)
            session = check(context, session, trusted, isolation.seen)
            session.save(context.job.setup)
    except BaseException:
        Uploader(context.job.directory).stop()
        unregister(context, planned)
        raise
    return session


def choose(context: Context) -> tuple[runner.Row, runner.Observations]:
    """Look at this machine and choose the row of the mode table; say so."""
    seen = context.seen or runner.observe(context.environ)
    row = runner.decide(seen, context.settings.mode)
    context.host.info(f"mode {row.mode.value}: {row.found} ({seen})")
    return row, seen


def install(context: Context, row: runner.Row) -> Nix:
    """Install Nix if the row says so; nothing to do when run again."""
    from . import installation, privileged
    from .nix.install.release import release

    kind = row.mode.installs
    where = places.machine(context.environ) if kind == "multi-user" else context.places
    if kind and not installation.is_complete(where, kind):
        installation.refuse_links()
        inputs = context.settings
        source = release(version=inputs.nix_version, url=inputs.nix_url, sha256=inputs.nix_sha256)
        context.host.info(f"installing Nix from {source.url}")
        if kind == "multi-user":
            privileged.call("install", dataclasses.asdict(source), context.environ)
        else:
            installation.install(where, kind, source)
    nix = find_nix(context.environ)
    assert nix, "it was there, or is by now"
    return real(nix)


def doctor(context: Context, *, as_json: bool) -> None:
    """Print what `setup` would choose on this machine, and why; change nothing."""
    seen = runner.observe(context.environ)
    row = runner.decide(seen, context.settings.mode)
    facts = {"mode": row.mode.value, "found": row.found, "observations": seen.to_json()}
    print(json.dumps(facts) if as_json else f"mode {row.mode.value}: {row.found} ({seen})")
    if not as_json:
        advice.warn(context, row, seen)


def flush(context: Context) -> None:
    """Wait until the queue is dry, by the uploader or by draining here; report it, and raise what fails the job."""
    session = Session.load(context.job.setup)
    if session is None or not session.push:
        reason = f"pull only: {session.reason}" if session else "nothing was set up in this job"
        context.host.info(f"nothing to flush: {reason}")
        return
    from .registering import revive_daemon

    begun, uploads = time.monotonic(), _uploads(session)
    interruption = report.interruption(context.host, uploads.queue(context))
    with context.host.group("nix-autocache: flushing"), interruption:
        revive_daemon(context, session)
        flushed = uploads.drain(context, session, begun + _allowed(context))
        result = report.Result(
            outcomes=tuple(uploads.outcomes(context)),
            flush=flushed,
            waited=time.monotonic() - begun,
            unsolved=session.unsolved,
            dry_run=session.dry_run,
        )
        report.flushed(context.host, result, context.settings.on_upload_failure)


def _allowed(context: Context) -> float:
    """Seconds for a flush: what was asked for, but no more than the host gives."""
    left = context.host.time_left()
    return context.settings.flush_timeout if left is None else min(context.settings.flush_timeout, left)


def finish(context: Context) -> None:
    """The end of a job: flush, stop the uploader, and take our lines out of nix.conf."""
    session = Session.load(context.job.setup)
    if session and session.reads:
        from .in_effect import look_again

        look_again(context, session)
    try:
        flush(context)
    finally:
        if not isinstance(sys.exc_info()[1], KeyboardInterrupt):
            _release(context, session)


def status(context: Context, *, as_json: bool) -> None:
    """Print how far the uploads are."""
    session = Session.load(context.job.setup)
    uploads = _uploads(session)
    answer = uploads.uploader(context).ask({"do": "status"})
    facts = report.status(session, answer, uploads.queue(context))
    print(json.dumps(facts) if as_json else "\n".join(f"{name}: {value}" for name, value in facts.items()))


class _Uploads(Protocol):
    """Who uploads: `pushing` for a job that has its own uploader, `managed` where all jobs share the machine's."""

    def queue(self, context: Context) -> Queue: ...

    def uploader(self, context: Context) -> Uploader: ...

    def drain(self, context: Context, session: Session, deadline: float) -> FlushResult: ...

    def outcomes(self, context: Context) -> Iterable[Outcome]: ...


def _uploads(session: Session | None) -> _Uploads:
    return managed if session and session.chosen is Mode.MANAGED else pushing


def _release(context: Context, session: Session | None) -> None:
    """Close this job; with the last one on the machine, our lines go from nix.conf."""
    from .registering import unregister

    try:
        Uploader(context.job.directory).stop()
        if session:
            pushing.tidy(context, session)
    finally:  # whatever became of the rest, nix.conf must not name what is gone
        if session:
            unregister(context, session)
