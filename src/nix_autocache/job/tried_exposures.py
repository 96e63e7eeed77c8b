"""The ways to the key, the queue or the store that this user is found to have when all of them are tried."""

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
from ..trust import metadata, system_files
from ..trust.isolation import named, of_credentials, of_machine
from .context import Context
from .destination import Destination


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


def _of_job(job: JobPaths) -> tuple[Path, ...]:
    return (job.queue.new, job.queue.failed, job.roots)
