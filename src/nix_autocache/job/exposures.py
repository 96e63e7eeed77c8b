"""The ways to the key that are known without trying anything: by the mode, the secrets and the CI host.

A job without any way is sealed: its code cannot take the key or poison the cache, and the report may say so. Those that
must be tried are in `tried_exposures`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..machine.modes import Mode
from ..machine.observe import Facts
from ..trust import memory, system_files
from .context import Context
from .destination import Destination


def known(
    context: Context, facts: Facts, mode: Mode, destination: Destination, *, locked_down: bool = False
) -> tuple[str, ...]:
    """What is known to stand against a sealed job without trying anything, before or after a lockdown."""
    hosts = context.repository_cache(destination) if destination.unsigned else None
    if hosts:
        return (hosts.writers,)  # there is no key to take
    if facts.root:
        return ("the job's user is root, so its code could read the key",)
    if not mode.daemon:
        return ("the uploader runs as the job's own user, so its code could take the key",)
    if facts.system != "Linux":
        return ("the job's user can become root, so its code could read the key (`harden` works on Linux only)",)
    if not context.settings.harden:
        why = "the job's user can become root, so its code could read the key (`harden: true` takes that away)"
        return (why,)
    return tuple(_of_secrets(context, destination, locked_down=locked_down))


def another_user_can_upload(destination: Destination) -> bool:
    """Whether an uploader with a user of its own can do its work, out of the job's reach."""
    return destination.url.row.other_user_can_push and not _own_directory(destination)


def _of_secrets(context: Context, destination: Destination, *, locked_down: bool) -> Iterator[str]:
    if not destination.url.row.other_user_can_push:
        yield f"uploads to {destination.url.scheme} are made with the rights of the job's own user"
    if directory := _own_directory(destination):
        yield f"the cache is a directory that the job's user can write, {directory}"
    sources = context.secret_sources(destination)
    yield from sources.files_that_stay()
    by_token, is_open = context.identity is not None, memory.memory_is_open(hardened=locked_down)
    yield from context.host.exposures(sources.as_text(), by_token=by_token, memory_is_open=is_open)


def _own_directory(destination: Destination) -> Path | None:
    directory = destination.url.directory
    return system_files.changeable(directory) if directory else None
