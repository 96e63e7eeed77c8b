"""The way to a path, with every link on it: the only place where links are followed by hand."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_MOST: Final = 40  # links on one way, as in Linux


def way(path: Path) -> Iterator[Path]:
    """Everything on the way to a path, from the root on: each directory, each link, and what it leads to.

    A user who may write one of these directories can replace the link or file in it. Parts that do not exist are
    yielded as well. Raises OSError after 40 links, or if a link cannot be read.
    """
    here, rest, followed = Path("/"), list(reversed(path.absolute().parts[1:])), 0
    yield here
    while rest:
        here = Path(os.path.normpath(here / rest.pop()))  # `..` of a directory, since links were followed
        yield here
        if not _is_link(here):
            continue
        followed += 1
        if followed > _MOST:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = Path(os.readlink(here))
        rest += reversed(target.parts[1:] if target.is_absolute() else target.parts)
        here = Path("/") if target.is_absolute() else here.parent


def _is_link(path: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISLNK(os.lstat(path).st_mode)
    return False
