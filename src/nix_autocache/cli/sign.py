"""`nix-autocache sign`: sign a cache with a new key, where an old one has signed it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from ..errors import Error, InputError
from ..job.context import Context
from ..nix import keys
from ..nix.find import find_nix
from ..nix.store import Nix
from ..queue.directory import Queue

if TYPE_CHECKING:
    import argparse

    from ..caches.protocol import ObjectCache
    from ..uploader.resigning import Counts, Resigning
    from ..uploader.spec import UploadSpec

_NOWHERE: Final = Path("/nonexistent")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `sign`, beside the inputs and --json."""
    text = "public key name:base64 whose valid signatures count; may be given several times"
    parser.add_argument("--old-key", metavar="KEY", action="append", help=text)
    parser.add_argument("--remove-old", action="store_true", help="take the old keys' signatures away")


def sign(context: Context, options: SimpleNamespace) -> None:
    """Sign what is in the cache, and print a table of what became of it. Raises Error if something is left to do."""
    from ..job import secrets, upload_spec

    old = [keys.parse_public(text, name="--old-key") for text in getattr(options, "old_key", None) or ()]
    destination = context.destination()
    if not context.settings.cache or not context.settings.signing_key or not old:
        raise InputError("sign needs --cache, --signing-key with the new secret key, and --old-key with a public key")
    known = secrets.read(context, destination)
    nix = find_nix(context.environ) or Nix(_NOWHERE)  # nothing is asked of it
    spec = upload_spec.for_this_user(context, destination, known, nix, Queue(_NOWHERE), 0)
    counts = _run(context, spec, old, remove_old=getattr(options, "remove_old", False))
    _show(counts, as_json=options.json)
    if counts.failed:
        raise Error(f"sign: {counts.failed} objects are not signed: {counts.why}; run it again: it does only the rest")


def _run(context: Context, spec: UploadSpec, old: list[keys.PublicKey], *, remove_old: bool) -> Counts:
    from ..caches.protocol import Listed, PathCache
    from ..job.report import PacedLines

    new = spec.secret_key
    if new is None:
        raise InputError("dry-run: a key in AWS is read to sign only; leave dry-run out, or give the key itself")
    context.host.mask(str(new))
    if new.name in {key.name for key in old}:
        raise InputError(f"--old-key: the new key is named {new.name}, too, and Nix keeps one key of a name")
    cache = spec.access.open(new)
    if isinstance(cache, PathCache) or not isinstance(cache, Listed):
        url = spec.access.url.without_secrets
        raise InputError(
            f"cache: {url} cannot be listed; sign the bucket or directory behind it: s3://, gs://, az:// or file://"
        )
    lines = PacedLines(context.host)

    def tell(counts: Counts) -> None:
        lines(f"{sum(counts.paths.values())} narinfos looked at, {counts.failed} failed")

    return _resigning(cache, new, old, tell, spec, remove_old=remove_old).run(cache.names())


def _resigning(
    cache: ObjectCache,
    new: keys.SecretKey,
    old: list[keys.PublicKey],
    tell: Callable[[Counts], None],
    spec: UploadSpec,
    *,
    remove_old: bool,
) -> Resigning:
    from ..uploader import cache_info
    from ..uploader.resigning import Resigning
    from ..uploader.rotation import Rotation

    store_dir = cache_info.fields(cache.get(cache_info.NAME)).get("StoreDir", spec.access.nix.store_dir)
    rotation = Rotation(new=new, old=old, store_dir=store_dir, remove_old=remove_old)
    return Resigning(cache, rotation, tell, dry_run=spec.dry_run)


def _show(counts: Counts, *, as_json: bool) -> None:
    from ..uploader.rotation import What

    rows = {what.value: counts.paths[what] for what in What}
    rows |= {"run indexes": counts.indexes, "failed": counts.failed}
    if as_json:
        print(json.dumps(rows))
        return
    for what, count in rows.items():
        print(f"{count:>9,}  {what}")
