"""Why a server could not be reached, in the system's own words: requests wraps them in three layers of objects."""

from __future__ import annotations

from ..errors import one_line


def reason(error: BaseException) -> str:
    """The words of the innermost cause, on one line."""
    while (inner := _inner(error)) is not None:
        error = inner
    words = getattr(error, "strerror", None) or getattr(error, "verify_message", None)
    return str(words) if words else one_line(error)


def _inner(error: BaseException) -> BaseException | None:
    """requests and urllib3 have it as an argument, as a `reason` or as the cause."""
    named = [getattr(error, "reason", None), *error.args, error.__cause__]
    return next((each for each in named if isinstance(each, BaseException)), None)
