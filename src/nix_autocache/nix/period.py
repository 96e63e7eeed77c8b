"""The periods of a throwaway cache: `{week}` or `{month}` in the path of a store URL stands for that of a day in UTC.

Weeks are those of ISO 8601, `2026-W48`; months are `2026-11`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_PLACEHOLDER: Final = re.compile(r"\{(week|month)\}")
_LIKE_ONE: Final = re.compile(r"\{[a-z]*\}")
_DAYS_KEPT: Final = {"week": 21, "month": 70}
_CENTURY: Final = "20"
_FORMATS: Final = {"week": "%G-W%V", "month": "%Y-%m"}


def check(path: str, *, rotates: bool) -> None:
    """Raises ValueError for a path with a placeholder where nothing rotates, with more than one, or an unknown one."""
    if not rotates:
        if here := _PLACEHOLDER.search(path):
            raise ValueError(f"{here[0]} stands for a period in s3://, gs://, az:// and file:// only")
        return
    found = _LIKE_ONE.findall(path)
    if unknown := next((each for each in found if not _PLACEHOLDER.fullmatch(each)), None):
        raise ValueError(f"{unknown} stands for nothing; {{week}} and {{month}} are known")
    if len(found) > 1:
        raise ValueError(f"{' and '.join(found)} are both in it; one period is enough")


def rotates(path: str) -> bool:
    """True for a path with a placeholder."""
    return _PLACEHOLDER.search(path) is not None


def days_kept(path: str) -> int:
    """The days after which an object can go: those of the period in which it is written, of the next one, in which it
    is read, and a week more for jobs that began in that one."""
    return next(_DAYS_KEPT[found[1]] for found in _PLACEHOLDER.finditer(path))


def common_prefix(path: str) -> str:
    """How the paths of all periods begin, up to the year's first digits: a rule shall not touch anything else."""
    return _PLACEHOLDER.split(path)[0] + _CENTURY


def pattern(path: str) -> str:
    """The path with a `*` for the period."""
    return _PLACEHOLDER.sub("*", path)


def with_plain_braces(path: str) -> str:
    """A percent-encoded path, its placeholders as people write them."""
    return re.sub("%7B(week|month)%7D", r"{\1}", path)


def at(path: str, when: float) -> str:
    """The path in the period of `when`, in seconds since 1970."""
    day = datetime.fromtimestamp(when, UTC)
    return _PLACEHOLDER.sub(lambda found: day.strftime(_FORMATS[found[1]]), path)


def before(path: str, when: float) -> str:
    """The path in the period before that of `when`."""
    day = datetime.fromtimestamp(when, UTC)
    first = {"week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}
    return _PLACEHOLDER.sub(lambda found: (first[found[1]] - timedelta(days=1)).strftime(_FORMATS[found[1]]), path)
