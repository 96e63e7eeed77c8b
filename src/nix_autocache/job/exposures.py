"""Every way in which a job's own code could reach the key, the queue or the store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ..machine import managed_machine
from ..machine.managed_machine import ManagedMachine
from ..machine.observe import Facts
from ..machine.paths import CONFIGURATION, JobPaths, Paths
from ..nix.store import Nix
from ..nix.store_url import parse_cache_url
from ..trust import metadata, probes
from ..trust.isolation import named, of_credentials, of_machine
from . import secrets as handover
from .context import Context
from .destination import Destination
from .state import JobState


def of_secrets(context: Context, place: Destination, *, hardened: bool) -> Iterator[str]:
    if not place.url.row.any_user:
        yield f"uploads to {place.url.scheme} are made with the rights of the job's own user"
    if directory := own_directory(place):
        yield f"the cache is a directory that the job's user can write, {directory}"
    as_text = handover.as_text(place, context.environ)
    yield from handover.files_that_stay(place, context.environ)
    by_token, is_open = context.identity is not None, probes.memory_is_open(hardened=hardened)
    yield from context.host.exposures(as_text, by_token=by_token, memory_is_open=is_open)


def after_lockdown(context: Context, place: Destination, state: JobState, programs: Iterable[str]) -> Iterator[str]:
    """What this user can still do, now that everything was done."""
    where = context.places
    yield from of_machine(
        Nix(Path(state.nix_bin)), where.hook, where.jobs, [where.program, *_of_job(context.job)], programs
    )
    if not context.settings.aws_role:
        asked = metadata.clouds(place.url, place.key_source, context.environ)
        yield from of_credentials(asked, context.environ)


def _of_job(job: JobPaths) -> tuple[Path, ...]:
    return (job.queue.new, job.queue.failed, job.roots)


def of_provisioned(note: ManagedMachine, machine: Paths, seen: Facts, environ: Mapping[str, str]) -> Iterator[str]:
    """Every way to the key, the queue or the store of a machine that was provisioned, whose jobs hold no secret."""
    if seen.root:
        yield "the job's user is root, so its code could read the key"
        return
    url = parse_cache_url(note.cache)
    if url.scheme == "file" and (directory := probes.changeable(Path(url.path))):
        yield f"the cache is a directory that the job's user can write, {directory}"
    secrets = [Path(path) for path in note.secrets]
    if readable := [path for path in secrets if os.access(path, os.R_OK)]:
        yield f"the job's user can read the secrets of the machine's uploader, {named(readable)}"
    kept = (machine.state / "service", machine.state / "packages", CONFIGURATION, *secrets, *map(Path, note.programs))
    yield from of_machine(note.nix, machine.hook, machine.jobs, [*kept, *_of_job(managed_machine.place(machine))])
    yield from of_credentials(note.clouds, environ)


def own_directory(place: Destination) -> Path | None:
    if place.url.scheme != "file":
        return None
    return probes.changeable(Path(place.url.path))
