"""Who uploads what a job builds: its own uploader, or the machine's on a managed one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..machine.modes import Mode
from ..queue.directory import Queue
from ..queue.outcomes import Outcome
from ..uploader.process.client import UploaderClient
from ..uploader.progress import FlushResult
from . import own_uploads, shared_uploads
from .context import Context
from .state import JobState


class Uploads(Protocol):
    """`own_uploads` for a job that has its own uploader, `shared_uploads` where all jobs share the machine's."""

    def queue(self, context: Context) -> Queue: ...

    def uploader(self, context: Context) -> UploaderClient: ...

    def drain(self, context: Context, state: JobState, deadline: float) -> FlushResult: ...

    def outcomes(self, context: Context) -> Iterable[Outcome]: ...


def of_job(state: JobState | None) -> Uploads:
    return shared_uploads if state and state.chosen is Mode.MANAGED else own_uploads
