"""`nix-autocache push`: push store paths and their closures now, without a job."""

from __future__ import annotations

import time
from pathlib import Path

from ..errors import RunnerError
from ..job.context import Context
from ..nix.find import find_nix
from ..queue.directory import Queue
from ..uploader import foreground


def push(context: Context, paths: list[str]) -> None:
    """Push paths and their closures now, without a queue that outlives this."""
    since = time.monotonic()
    nix = find_nix(context.environ)
    if nix is None:
        raise RunnerError("there is no Nix on PATH; `nix-autocache setup` installs one")
    place = context.destination()
    begun = foreground.begin(nix, place.url, context.environ, len(paths))
    from tempfile import TemporaryDirectory

    from ..job import report, upload_spec

    with TemporaryDirectory(prefix="nix-autocache-") as directory:
        queue = Queue(Path(directory))
        queue.create()
        for path in nix.store_paths(paths):
            queue.add(path.base, [path])
        job = upload_spec.upload_job(context, nix, place, queue, int(time.time()))
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
