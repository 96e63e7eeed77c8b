"""What one process of a job has looked up, for the job's other process: the indexes of `Found` as one object.

The object is JSON, and in it each index as at the end of a pack, in base 64.
"""

from __future__ import annotations

import base64
import json

from ...errors import CacheError
from . import trailer
from .lookups import Found


def encode(found: Found) -> str:
    indexes = {"own": found.own, "foreign": found.foreign}
    packed = {name: base64.b64encode(trailer.pack(index)).decode() for name, index in indexes.items()}
    return json.dumps({**packed, "unjoined": found.unjoined})


def decode(known: str) -> Found:
    """Raises CacheError for what `encode` did not make, and if there is more in it than an index may have."""
    try:
        value = json.loads(known)
        own, foreign = (trailer.decode([base64.b64decode(value[name])]) for name in ("own", "foreign"))
        return Found(own, foreign, str(value["unjoined"]))
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise CacheError("it is nothing that another process has looked up") from error
