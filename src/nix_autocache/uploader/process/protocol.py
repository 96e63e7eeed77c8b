"""The messages on the uploader's socket, one line of JSON each.

A client sends one request. The uploader answers with any number of `Progress` lines and one `Reply`, the line that has
`done`. Anybody may listen where an uploader has ended, and anybody may connect: each end checks all that it reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from ...system.dataclass import asdict, dataclass
from ..progress import Progress

T = TypeVar("T")

MAX_REQUEST: Final = 4096  # bytes of a request
MAX_ANSWER: Final = 1 << 20  # bytes of a line of an answer
_MAX_SECONDS: Final = 86400.0


@dataclass(frozen=True)
class Status:
    """How far are you? Answered when the cache was looked at, or some seconds later."""


@dataclass(frozen=True)
class Flush:
    """Wait until everything that is in the queue now is settled, `seconds` at most; a day is the longest."""

    seconds: float


@dataclass(frozen=True)
class Stop:
    """End. Only root and the uploader's own user may ask for it."""


@dataclass(frozen=True)
class Unknown:
    """A request that this version does not know, or with a field that makes no sense."""


Request = Status | Flush | Stop | Unknown
_VERBS: Final = {Status: "status", Flush: "flush", Stop: "stop"}


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The last line of an answer. `drained` is True when a flush settled everything in time.

    `error` says why the uploader cannot push at all, or refused the request; `exit_code` is that of the error.
    """

    progress: Progress
    drained: bool = False
    error: str = ""
    exit_code: int = 0
    public_key: str = ""


def request_line(request: Status | Flush | Stop) -> bytes:
    return _line({"do": _VERBS[type(request)], **asdict(request)})


def parse_request(line: bytes) -> Request | None:
    """None for a line that is no JSON object."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    match said.get("do"):
        case "status":
            return Status()
        case "stop":
            return Stop()
        case "flush" if (seconds := _seconds(said.get("seconds"))) is not None:
            return Flush(seconds)
    return Unknown()


def answer_line(answer: Progress | Reply) -> bytes:
    if isinstance(answer, Progress):
        return _line(asdict(answer))
    last = {"public_key": answer.public_key, "error": answer.error, "exit_code": answer.exit_code}
    return _line({**asdict(answer.progress), **last, "done": True, "dry": answer.drained})


def parse_answer(line: bytes) -> Progress | Reply:
    """Raises ValueError for a line that no uploader writes."""
    try:
        said = json.loads(line)
        progress = Progress(
            counts=_counts(said["counts"]),
            pushed_bytes=_checked(said["pushed_bytes"], int),
            waiting=_checked(said["waiting"], int),
            unsealed=_checked(said["unsealed"], int),
            trouble=_checked(said["trouble"], str),
            unrecorded=_counts(said["unrecorded"]),
        )
        if "done" not in said:
            return progress
        return Reply(
            progress=progress,
            drained=bool(said["dry"]),
            error=_checked(said["error"], str),
            exit_code=_checked(said["exit_code"], int),
            public_key=_checked(said["public_key"], str),
        )
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("no uploader writes this line") from error


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _seconds(value: object) -> float | None:
    """Between 0 and a day; None for a value that is not a number."""
    if not isinstance(value, int | float) or value != value:  # NaN
        return None
    return float(min(max(value, 0), _MAX_SECONDS))


def _counts(value: Any) -> dict[str, int]:
    return {_checked(name, str): _checked(number, int) for name, number in value.items()}


def _checked(value: object, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
