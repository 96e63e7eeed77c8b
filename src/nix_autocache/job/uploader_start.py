"""A job's own uploader: started, its hook proved by a build, and given what it needs.

It is started early, so that it loads while Nix builds the canary. One that is a separate user is started while root is
there and fed after root was taken away, so that no other process of the job's user sees its secrets.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ..errors import Error, InputError
from ..nix import effective
from ..queue import hook, scan
from ..system.dataclass import replace
from ..system.descriptors import offered
from ..uploader.process.client import Started, UploaderClient
from ..uploader.process.protocol import Reply
from ..uploader.process.spec import ProcessSpec
from ..uploader.read_proxy.launch import Placeholder
from ..uploader.secrets import Secrets
from . import read_spec, secrets, upload_spec
from .context import Context
from .destination import Destination
from .state import JobState

_OTHER_STORE: Final = ("NIX_STORE_DIR", "NIX_REMOTE")  # variables that name another store


def start(
    context: Context, state: JobState, destination: Destination, known: Secrets | None, proxy: Placeholder | None
) -> Started:
    """Start the uploader. Without `known` secrets it is a separate user's and waits for its spec.

    Raises Error if it cannot start.
    """
    _end_earlier(context)
    if known is None:
        return _start_as_another_user(context, proxy)
    upload = upload_spec.of_job(context, state, destination, known)
    return _start(context, ProcessSpec(upload=upload, reading=read_spec.of(context, state, destination, upload)), proxy)


def _end_earlier(context: Context) -> None:
    uploader = UploaderClient(context.job.directory)
    if not uploader.stop():
        raise Error(f"the uploader of an earlier setup does not end (see {uploader.log})")


def _start(context: Context, spec: ProcessSpec, proxy: Placeholder | None) -> Started:
    return UploaderClient(context.job.directory).start(spec, proxy.descriptor if proxy else None)


def prove_hook(context: Context, state: JobState, started: Started) -> JobState:
    """Build a canary and see that the hook queues it; then take a snapshot of the store, to find later what it misses.

    Returns a state that scans the store, or does not push, where the hook does not fire. Ends the uploader on errors.
    """
    try:
        return _proved(context, state)
    except BaseException:
        started.end()  # it may not listen yet
        raise


def _proved(context: Context, state: JobState) -> JobState:
    if not state.scan:
        canary = hook.try_canary(state.nix, context.job.queue, context.environ)
        if canary.elsewhere:
            store = _named_store(context, state)
            return _without_pushing(
                context, state, f"Nix builds into another store ({store}), and only paths of /nix/store are pushed"
            )
        if not canary.heard:
            reason = canary.error or "Nix did not call the post-build hook"
            if state.separate_user:  # only root and the hook can write its queue
                return _without_pushing(context, state, reason)
            context.host.warning(f"{reason}; the store is scanned at the end of the job instead")
            state = state.scanning(reason)
    scan.snapshot(state.nix, context.job.store_before)
    return state


def hand_over(
    context: Context, state: JobState, destination: Destination, started: Started | None, proxy: Placeholder | None
) -> tuple[JobState, Destination]:
    """Give the uploader its spec if it has none yet, and wait until it has looked at the cache. In a job that only
    pulls, have the cache read: `started` is then None, or does not get what it would need to push.

    Returns the state and the destination with what it replied: that it cannot push, or its public key. Raises
    InputError for bad inputs, and Error under `on-upload-failure: fail`.
    """
    if started is None or not state.push:
        return _only_reading(context, state, destination, started, proxy), destination
    uploader = UploaderClient(context.job.directory)
    try:
        if state.separate_user:
            known = secrets.read(context, destination, and_remove_files=True)
            upload = upload_spec.of_job(context, state, destination, known)
            reading = read_spec.of(context, state, destination, upload)
            started.feed(ProcessSpec(upload=upload, reading=reading))
        reply = uploader.wait_ready(started)
    except BaseException:
        started.end()
        raise
    if reply.error:
        state = _refused(context, state, reply)
        return state if state.separate_user else _only_reading(context, state, destination, started, proxy), destination
    return _accepted(context, state, destination, reply), destination.trusting(reply.public_key)


def _only_reading(
    context: Context, state: JobState, destination: Destination, started: Started | None, proxy: Placeholder | None
) -> JobState:
    """Nix reads the cache and nothing is pushed: by the process that waits for its spec, or by another one."""
    reading = read_spec.of(context, state, destination, None)
    if started and not (state.separate_user and reading):
        started.end()
        started = None
    if reading is None:
        return state
    spec = ProcessSpec(upload=None, reading=reading)
    try:
        if started:
            started.feed(spec)
        else:
            _end_earlier(context)
            started = _start(context, spec, proxy)
        UploaderClient(context.job.directory).wait_ready(started)
    except Error as error:
        context.host.warning(f"{destination.without_read_proxy}: {error}")
        return replace(state, reader=None)
    return state


def _accepted(context: Context, state: JobState, destination: Destination, reply: Reply) -> JobState:
    trouble = reply.progress.trouble
    if trouble and state.dry_run:
        context.host.info(f"dry run: the cache: {trouble}; Nix does not read it either")
        return replace(state, unread=True)
    if trouble:
        context.host.warning(f"uploads wait for the cache: {trouble}")
    if doubts := destination.doubts(reply.public_key):
        context.host.warning(doubts)
    return state


def _refused(context: Context, state: JobState, reply: Reply) -> JobState:
    if reply.exit_code == InputError.exit_code:
        raise InputError(reply.error)
    if context.settings.on_upload_failure == "fail":
        raise Error(reply.error)
    return _without_pushing(context, state, reply.error)


def _without_pushing(context: Context, state: JobState, reason: str) -> JobState:
    context.host.warning(f"not pushing: {reason}")
    return state.only_pulling(reason)


def _start_as_another_user(context: Context, proxy: Placeholder | None) -> Started:
    from ..machine import root  # a step that only uploads starts faster without

    request = {"job_name": context.job_name, "owner": os.geteuid(), "packages": [str(_packages())]}
    with offered(proxy.descriptor) if proxy else nullcontext("") as socket_at:
        return root.start_uploader({**request, "listening": socket_at}, context.environ)


def _named_store(context: Context, state: JobState) -> str:
    """The store that Nix uses, by the variable or setting that names it."""
    setting = effective.of_client(state.nix, context.environ).get("store", "")
    return next(
        (f"{name}={value}" for name in _OTHER_STORE if (value := context.environ.get(name))), f"store = {setting}"
    )


def _packages() -> Path:
    """The directory of the packages that this process has imported from."""
    found = find_spec("nacl")
    assert found, "what pushes has its packages"
    assert found.origin, "it is a package with files"
    return Path(found.origin).parents[1]
