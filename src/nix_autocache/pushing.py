"""The uploads of a job: allowed or not, started, waited for, and ended."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from . import keys, report, trust
from .context import Context
from .destination import Destination
from .errors import Error, InputError, one_line
from .nix import hook, scan
from .nix.store import Nix
from .queue import Queue
from .session import Session
from .settings import archive_format
from .uploader.client import Uploader
from .uploader.foreground import drain_here
from .uploader.job import Job, relevant_environment
from .uploader.progress import Rest

_ISOLATION: Final[trust.Isolation] = "open"  # until the key can be kept from root


def judge(context: Context, place: Destination) -> trust.Verdict:
    """Whether this job may push, said in the log."""
    context.platform.mask(place.url.password)
    if identity := context.identity:
        context.platform.mask(identity.bearer or identity.token)
    lacks = "" if context.is_dry_run(place) else context.lacks(place)
    verdict = trust.judge(context.platform.event(), _ISOLATION, context.settings.push, lacks=lacks)
    if verdict.warning:
        context.platform.warning(verdict.warning)
    if not verdict.push:
        context.platform.notice(f"pull only: {verdict.reason}")
    if verdict.push and place.embedded and context.platform.ephemeral:
        context.platform.warning(f"{place.url} goes away with this machine; set `cache` to keep what is built")
    return verdict


def start(context: Context, session: Session, place: Destination) -> tuple[Session, Destination]:
    """Start the uploader and build the canary meanwhile; a session that does not push if either failed, and the
    destination with the public half of a key that only the uploader has.

    Raises InputError, or Error under `on-upload-failure: fail`, instead.
    """
    nix, queue = Nix(Path(session.nix_bin)), context.job.queue
    job = upload_job(context, nix, place, queue)
    uploader = Uploader(context.job.directory)
    if not uploader.stop():
        raise Error(f"the uploader of an earlier setup does not end (see {uploader.log})")
    process = uploader.start(job)
    try:
        session = _watch(context, replace(session, dry_run=job.dry_run), nix)
        answer = uploader.wait_ready(process)
    except BaseException:
        process.kill()  # it may not listen yet
        raise
    problem = answer.error
    if not problem:
        if answer.progress.trouble:
            context.platform.warning(f"uploads wait for the cache: {answer.progress.trouble}")
        return session, place.trusting(answer.public_key)
    uploader.stop()
    if answer.exit_code == InputError.exit_code:
        raise InputError(problem)
    if context.settings.on_upload_failure == "fail":
        raise Error(problem)
    context.platform.warning(f"not pushing: {problem}")
    return replace(session, push=False, reason=problem, unsolved=dict.fromkeys(trust.LIMITATIONS, problem)), place


def _watch(context: Context, session: Session, nix: Nix) -> Session:
    """See that the hook fires, or look at the store as it is now, to know at the end what is new."""
    if not session.scan and not hook.sing(nix, context.job.queue):
        reason = "Nix did not call the post-build hook"
        context.platform.warning(f"{reason}; what is new in the store is looked for at the end of the job instead")
        session = session.scanning(reason)
    if session.scan:
        scan.snapshot(nix, context.job.store_before)
    return session


def upload_job(context: Context, nix: Nix, place: Destination, queue: Queue) -> Job:
    """What the uploader is to be told. Reads the signing key, unless it is in AWS."""
    settings = context.settings
    compression, level = archive_format(settings)
    return Job(
        queue=str(queue.directory),
        roots=str(queue.roots or ""),
        nix_bin=str(nix.bin),
        cache=str(place.url),
        key="" if context.lacks(place) else _read_key(context, place),
        compression=compression,
        compression_level=level,
        upstreams=tuple(str(upstream.key or upstream.name) for upstream in settings.upstream_keys),
        exclude=settings.exclude.pattern if settings.exclude else "",
        dry_run=context.is_dry_run(place),
        environ=relevant_environment(context.environ),
        role=settings.aws_role,
        audience=settings.oidc_audience,
        identity=context.identity,
    )


def _read_key(context: Context, place: Destination) -> str:
    key = place.signing_key(context.environ)
    if not keys.is_in_aws(key):
        context.platform.mask(key)
    return key


def drain(context: Context, session: Session, deadline: float) -> Rest:
    """Let the uploader empty the queue, or do it here when none lives that can; what is left."""
    if session.scan:
        _scan(context, Nix(Path(session.nix_bin)))
    tell = report.ProgressLines(context.platform)
    uploader = Uploader(context.job.directory)
    answer = uploader.ask({"do": "flush", "seconds": max(0.0, deadline - time.monotonic())}, tell)
    if answer and not answer.error:
        progress = answer.progress
        if answer.dry:
            return Rest(0, unrecorded=progress.unrecorded)
        return Rest(progress.waiting, progress.trouble, progress.unrecorded)
    context.platform.info(f"{answer.error if answer else 'no uploader is alive'}; uploading from here")
    if answer:
        uploader.stop()  # this step's credentials may be newer than those it was given
    job = upload_job(context, Nix(Path(session.nix_bin)), context.destination(), context.job.queue)
    try:
        context.platform.mask(str(job.secret_key or ""))
        return drain_here(job, deadline, tell, check=False)
    except (Error, OSError) as error:
        return Rest(sum(1 for _ in context.job.queue.names()), one_line(error))


def _scan(context: Context, nix: Nix) -> None:
    """Queue what is new in the store since the last look."""
    queue, before = context.job.queue, context.job.store_before
    for info in scan.new_builds(nix, before):
        queue.add(info.path.base, [info.path])
    scan.snapshot(nix, before)
