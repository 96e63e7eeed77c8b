"""What narinfos, realisations and debug links say, as the collector needs it.

Anybody who can write to the cache wrote them: what Nix cannot read belongs to nothing, and is no error.
"""

from __future__ import annotations

import posixpath
import re
import urllib.parse
from typing import Final

from ..nix.store import HASH_PART
from ..system import flat_json
from ..uploader import presence
from .graph import number_of, short

REALISATIONS: Final = "realisations/"
DEBUG: Final = "debuginfo/"
_BASE: Final = re.compile(rf"[0-9abcdfghijklmnpqrsvwxyz]{{{HASH_PART}}}-")


def parsed(content: bytes) -> tuple[int, list[int]]:
    """Of a narinfo, the archive, 0 for none of this cache, and the hash parts of the references.

    What Nix cannot read has neither.
    """
    archive, bases = archive_name(field_of(content, "URL")), field_of(content, "References").split()
    references = [number_of(base[:HASH_PART]) for base in bases if _BASE.match(base)]
    return short(archive) if archive else 0, references


def field_of(content: bytes, name: str) -> str:
    """The values of a field of a narinfo, empty if it has none."""
    lines = (line.partition(":") for line in presence.decoded(content).splitlines())
    return " ".join(value.strip() for field_name, _, value in lines if field_name == name)


def archive_name(url: str) -> str:
    """The name of the object that the URL of a narinfo means; empty for one of another cache."""
    if "://" in url:
        return ""
    return posixpath.normpath(urllib.parse.unquote(url.partition("?")[0])).lstrip("/") if url else ""


def target_of(name: str, content: bytes) -> str:
    """The hash part of a realisation's path, or the archive of a debug link; empty for what is neither."""
    try:
        value = flat_json.parse(content)
        if name.startswith(DEBUG):
            target = archive_name(posixpath.join("debuginfo", value["archive"]))
            return target if "\n" not in target else ""
        hash_part: str = value["outPath"][:HASH_PART]
        number_of(hash_part)
        return hash_part
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
