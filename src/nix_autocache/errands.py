"""What people do outside of a job: push paths, make a key, provision a machine, bring one back.

Each imports what it needs, `push` when Nix and the cache have begun to answer.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from .context import Context
from .errors import RunnerError
from .nix import keys
from .nix.find import find_nix
from .queue.directory import Queue
from .uploader import foreground


def push(context: Context, paths: list[str]) -> None:
    """Push paths and their closures now, without a queue that outlives this."""
    since = time.monotonic()
    nix = find_nix(context.environ)
    if nix is None:
        raise RunnerError("there is no Nix on PATH; `nix-autocache setup` installs one")
    place = context.destination()
    begun = foreground.begin(nix, place.url, context.environ, len(paths))
    from tempfile import TemporaryDirectory

    from . import jobs, report

    with TemporaryDirectory(prefix="nix-autocache-") as directory:
        queue = Queue(Path(directory))
        queue.create()
        for path in nix.store_paths(paths):
            queue.add(path.base, [path])
        job = jobs.upload_job(context, nix, place, queue, int(time.time()))
        context.host.mask(str(job.secret_key or ""))
        if job.secret_key and (doubts := place.doubts(str(job.secret_key.public))):
            context.host.warning(doubts)
        tell = report.ProgressLines(context.host)
        flushed = foreground.drain_here(job, since + context.settings.flush_timeout, tell, begun=begun, check=True)
        result = report.Result(
            outcomes=tuple(queue.outcomes.recorded()),
            flush=flushed,
            waited=time.monotonic() - since,
            unsolved={},
            dry_run=job.dry_run,
        )
    report.flushed(context.host, result, "fail")


def keygen(name: str) -> None:
    """Print a new secret key; its public half goes to standard error."""
    key = keys.generate(name)
    print(key)
    print(f"public key: {key.public}", file=sys.stderr)


def provision(context: Context) -> None:
    """Make this machine upload what all its jobs build, as its configuration says."""
    from . import advice, trust
    from .provisioning import configuration
    from .provisioning import machine as provisioning
    from .queue import hook
    from .registering import register
    from .session import Session
    from .steps import choose, install

    provisioning.check()
    told = configuration.load()
    told.check_secrets()
    context = replace(context, settings=told.settings, host=provisioning.Machine(context.environ))
    row, seen = choose(context)
    found = install(context, row)
    # By its profile, since what that leads to now may be collected in the months of this machine.
    nix = find_nix(context.environ) or found
    advice.check_configuration(context, nix)
    place = context.destination().trusting_itself({})
    verdict = trust.Verdict(push=True, reason="", unsolved={})
    note = provisioning.prepare(context.places, told, nix)
    session = Session.begin(row, nix, note.cache, verdict, apart=True, reader_port=note.reader_port)
    with provisioning.reader_socket(context.places, note) as waiting:
        register(context, session, place, seen)
        answer = provisioning.start(context.places, told, note, waiting)
    if (trusted := place.trusting(answer.public_key)) != place:
        register(context, session, trusted, seen)
    if doubts := place.doubts(answer.public_key):
        context.host.warning(doubts)
    canary = hook.try_canary(nix, context.job.queue, context.environ)
    if not canary.heard:
        unheard = "Nix does not call the post-build hook: is there another one in its configuration?"
        raise RunnerError(canary.error or unheard)
    for trouble in filter(None, (answer.error, answer.progress.trouble)):
        context.host.warning(f"nothing is uploaded yet: {trouble}")
    context.host.info(f"provisioned: what jobs build here goes to {session.cache}")


def undo(context: Context) -> None:
    """Bring the machine back to what it was before the first setup."""
    from . import installation, places, privileged
    from .queue import hook

    installation.uninstall(context.own_places, daemon=False)
    if places.machine(context.environ).state.exists():
        privileged.call("undo", {}, context.environ)
    if nix := find_nix(context.environ):
        hook.forget_canaries(nix)
    context.host.info("undone: nothing of nix-autocache is left but the caches and keys that it made")
