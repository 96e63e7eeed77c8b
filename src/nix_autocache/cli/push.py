"""`nix-autocache push`: push store paths and their closures now, without a job."""

from __future__ import annotations

import time
from typing import Final

from ..errors import RunnerError
from ..job.context import Context
from ..nix.find import find_nix
from ..queue.directory import Queue
from ..system.trees import temporary_directory
from ..uploader import foreground

_TOGETHER: Final = 20  # paths in an entry: an entry for each path would take 0.1 ms a path


def push(context: Context, paths: list[str]) -> None:
    """Push paths and their closures now, without a queue that outlives this."""
    since = time.monotonic()
    nix = find_nix(context.environ)
    if nix is None:
        raise RunnerError("there is no Nix on PATH; `nix-autocache setup` installs one")
    destination = context.made_destination()
    hosts = context.repository_cache(destination)
    if hosts and hosts.read_only:
        raise RunnerError(f"cannot push to {destination.url}: {hosts.read_only}")
    connected = foreground.connect(nix, destination.url, context.environ, len(paths))
    from ..job import report, secrets, upload_spec

    with temporary_directory(context.environ.get("TMPDIR")) as directory:
        queue = Queue(directory)
        queue.create()
        queue.add_paths(nix.store_paths(paths), _TOGETHER)
        spec = upload_spec.for_this_user(
            context, destination, secrets.read(context, destination), nix, queue, int(time.time())
        )
        context.host.mask(str(spec.secret_key or ""))
        if spec.secret_key and (doubts := destination.doubts(str(spec.secret_key.public))):
            context.host.warning(doubts)
        tell = report.ProgressLines(context.host)
        flushed = foreground.drain_here(
            spec, since + context.settings.flush_timeout, tell, connected=connected, check=True
        )
        result = report.Result(
            outcomes=tuple(queue.outcomes.recorded()),
            flush=flushed,
            waited=time.monotonic() - since,
            unsolved={},
            dry_run=spec.dry_run,
        )
    report.flushed(context.host, result, "fail")
