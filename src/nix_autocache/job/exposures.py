"""Every way in which a job's own code could reach the key, the queue or the store, each as a sentence.

A job without any is sealed: its code cannot take the key or poison the cache, and the report may say so.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ..machine import managed_machine
from ..machine.managed_machine import ManagedMachine
from ..machine.modes import Mode
from ..machine.observe import Facts
from ..machine.paths import CONFIGURATION, JobPaths, Paths
from ..nix.store import Nix
from ..nix.store_url import parse_cache_url
from ..trust import memory, metadata, system_files
from ..trust.isolation import named, of_credentials, of_machine
from .context import Context
from .destination import Destination


def known(
    context: Context, facts: Facts, mode: Mode, destination: Destination, *, locked_down: bool = False
) -> tuple[str, ...]:
    """What is known to stand against a sealed job without trying anything, before or after a lockdown."""
    if facts.root:
        return ("the job's user is root, so its code could read the key",)
    if not mode.daemon:
        return ("the uploader runs as the job's own user, so its code could take the key",)
    if not context.settings.harden:
        why = "the job's user can become root, so its code could read the key (`harden: true` takes that away)"
        return (why,)
    return tuple(_of_secrets(context, destination, locked_down=locked_down))


def another_user_can_upload(destination: Destination) -> bool:
    """Whether an uploader with a user of its own can do its work, out of the job's reach."""
    return destination.url.row.other_user_can_push and not _own_directory(destination)


def left_by_lockdown(context: Context, destination: Destination, nix: Nix, programs: Iterable[str]) -> Iterator[str]:
    """What the job's user can still do after a lockdown, tried as that user. `programs` is what root runs."""
    machine = context.paths
    used = [machine.program, *_of_job(context.job)]
    yield from of_machine(nix, machine.hook, machine.jobs, used, programs)
    if not context.settings.aws_role:
        asked = metadata.clouds(destination.url, destination.key_source, context.environ)
        yield from of_credentials(asked, context.environ)


def of_managed_machine(
    record: ManagedMachine, machine: Paths, facts: Facts, environ: Mapping[str, str]
) -> Iterator[str]:
    """Every way on a managed machine, whose jobs hold no secret."""
    if facts.root:
        yield "the job's user is root, so its code could read the key"
        return
    url = parse_cache_url(record.cache)
    if url.directory and (directory := system_files.changeable(url.directory)):
        yield f"the cache is a directory that the job's user can write, {directory}"
    files = [Path(path) for path in record.secrets]
    if readable := [path for path in files if os.access(path, os.R_OK)]:
        yield f"the job's user can read the secrets of the machine's uploader, {named(readable)}"
    used = (machine.state / "service", machine.state / "packages", CONFIGURATION, *files, *map(Path, record.programs))
    yield from of_machine(record.nix, machine.hook, machine.jobs, [*used, *_of_job(managed_machine.job_paths(machine))])
    yield from of_credentials(record.clouds, environ)


def _of_secrets(context: Context, destination: Destination, *, locked_down: bool) -> Iterator[str]:
    if not destination.url.row.other_user_can_push:
        yield f"uploads to {destination.url.scheme} are made with the rights of the job's own user"
    if directory := _own_directory(destination):
        yield f"the cache is a directory that the job's user can write, {directory}"
    sources = context.secret_sources(destination)
    yield from sources.files_that_stay()
    by_token, is_open = context.identity is not None, memory.memory_is_open(hardened=locked_down)
    yield from context.host.exposures(sources.as_text(), by_token=by_token, memory_is_open=is_open)


def _of_job(job: JobPaths) -> tuple[Path, ...]:
    return (job.queue.new, job.queue.failed, job.roots)


def _own_directory(destination: Destination) -> Path | None:
    directory = destination.url.directory
    return system_files.changeable(directory) if directory else None
