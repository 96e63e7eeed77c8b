"""A real round trip through the cache, with the inputs and credentials at hand: what `nix-autocache check` shows.

A small new path is written, looked at, and fetched into a clean store by Nix itself; then what must be refused is
tried. Each answer is a `Row`. What cannot be tried here, as in a job that only pulls, is a row that says so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..caches.protocol import PathCache
from ..errors import CacheBusy, CacheError, CredentialsError, Error, one_line
from ..nix.find import find_nix
from ..nix.key_source import KeySource
from ..nix.keys import PublicKey
from ..nix.store import Nix, StorePath
from ..queue.directory import Queue
from ..system import process
from ..system.dataclass import dataclass, replace
from ..system.files import open_to_write
from ..system.trees import temporary_directory
from ..uploader import cache_info, foreground
from ..uploader.secrets import Secrets
from . import read_spec, secrets, trial_reading, trial_refusals, upload_spec
from .context import Context
from .destination import Destination
from .trial_row import Row

if TYPE_CHECKING:
    from ..uploader.spec import UploadSpec

_NAME: Final = "nix-autocache-check"
_LONGEST: Final = 60.0  # seconds for the upload
_ADDED: Final = 30.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is tried. `pulls` says why nothing may be written; empty if it may."""

    nix: Nix
    destination: Destination
    spec: UploadSpec
    directory: Path
    pulls: str

    def rows(self) -> Iterator[Row]:
        """In order. Those that need an earlier one that does not work are left out."""
        row = self._reached()
        yield row
        if row.fails:
            return
        if self.pulls:
            yield Row("it can be written to", None, self.pulls)
            return
        row = self._key()
        yield row
        if row.fails:
            return
        yield from self._round_trip()

    def _reached(self) -> Row:
        """Whether the cache answers, and is one for this store."""
        what = f"{self.spec.access.url.without_secrets} answers"
        try:
            cache = self.spec.access.open()
            if isinstance(cache, PathCache):
                return Row(what, None, "only Nix can ask such a store")
            found = cache_info.fields(cache.get(cache_info.NAME))
        except CredentialsError as error:
            if not self.pulls:  # a bucket that may not be listed: whether it can be written decides
                return Row(what, True)
            if self.spec.access.anonymous:
                return Row(what, None, "it refuses jobs without credentials, and this is one: such jobs build all")
            return Row(what, False, f"{one_line(error)}; they may not read it")
        except (CacheError, CacheBusy) as error:
            return Row(what, False, one_line(error))
        there, here = found.get("StoreDir", self.nix.store_dir), self.nix.store_dir
        if there != here:
            return Row(what, False, f"it holds paths of {there}, this Nix has {here}; take another cache")
        return Row(what, True)

    def _key(self) -> Row:
        """Whether there is a key, and readers trust it."""
        if self.destination.unsigned:
            return Row("no signing key is needed", True)
        try:
            key = self.spec.secret_key
        except (CacheError, CacheBusy) as error:
            return Row("the signing key can be read", False, one_line(error))
        assert key, "a job without one only pulls"
        doubts = self.destination.doubts(str(key.public))
        return Row(f"the signing key {key.name} is trusted by readers", not doubts, doubts)

    def _round_trip(self) -> Iterator[Row]:
        path, content = self._new_path()
        try:
            row = self._written(path)
            yield row
            if row.works:
                yield from trial_reading.rows(self.spec, self._readers, path, content, self.directory)
                yield from trial_refusals.rows(self.spec, path)
        finally:  # a user of a daemon that lets nobody delete leaves a hundred bytes behind
            process.run([self.nix.program("nix-store"), "--delete", path], timeout=_ADDED)

    @property
    def _readers(self) -> tuple[PublicKey, ...]:
        key = self.spec.secret_key
        return self.destination.public_keys or ((key.public,) if key else ())

    def _new_path(self) -> tuple[StorePath, bytes]:
        """A path that no cache has, and its content. Raises RunnerError."""
        content = os.urandom(32).hex().encode()
        file = self.directory / _NAME
        with open_to_write(file, 0o644) as opened:
            opened.write(content)
        done = process.run([self.nix.program("nix-store"), "--add", str(file)], timeout=_ADDED)
        (path,) = self.nix.store_paths([done.check("cannot add a path to the store").output.strip()])
        return path, content

    def _written(self, path: StorePath) -> Row:
        what = "a new path can be written"
        queue = self.spec.open_queue()
        queue.add(path.base, [path])
        try:
            foreground.drain_here(self.spec, time.monotonic() + _LONGEST, lambda _: None, check=True)
        except (CacheError, CacheBusy) as error:
            return Row(what, False, one_line(error))
        outcome = next((each for each in queue.outcomes.recorded() if each.path == path), None)
        if outcome is None:
            return Row(what, False, f"it did not get there within {_LONGEST:g} s; is the cache slow, or far away?")
        if outcome.what != "pushed":
            return Row(what, False, f"{outcome.what}: {outcome.reason or 'it must be uploaded, and was not'}")
        return Row(what, True)


def rows(context: Context, pulls: str = "") -> Iterator[Row]:
    """Try the cache of the inputs. `pulls` says why this job may not write. Raises InputError for wrong inputs."""
    nix = find_nix(context.environ)
    if nix is None:
        yield Row("there is a Nix", False, "install Nix, or try this in a job after the set-up step")
        return
    yield Row(f"Nix {nix.version()} is there", True)
    destination = context.made_destination()
    with temporary_directory(context.environ.get("TMPDIR")) as made:
        directory = made.resolve()
        queue = Queue(directory / "queue")
        queue.create()
        pulls = pulls or _only_pulls(context, destination)
        spec = _spec(context, destination, nix, queue, pulls=bool(pulls))
        trial = Trial(nix=nix, destination=destination, spec=spec, directory=directory, pulls=pulls)
        yield from trial.rows()


def require(context: Context, pulls: str) -> None:
    """The input `check`: say what works before the job begins. Raises Error if something does not."""
    tried = list(rows(context, pulls))
    for row in tried:
        line = f"check: {row.what}: {row.word}{f': {row.advice}' if row.advice else ''}"
        (context.host.warning if row.works is False else context.host.info)(line)
    failed = [row for row in tried if row.fails]
    if failed:
        raise Error(f"check: {failed[0].what}: {failed[0].word}: {failed[0].advice}")


def _spec(context: Context, destination: Destination, nix: Nix, queue: Queue, *, pulls: bool) -> UploadSpec:
    """A job that only pulls reads no key, and reads the cache with what its event is trusted with. No run is recorded:
    what is tried is to be kept by nobody."""
    known = Secrets(key=KeySource(), environ={}) if pulls else secrets.read(context, destination)
    spec = upload_spec.for_this_user(context, destination, known, nix, queue, int(time.time()))
    spec = replace(spec, lane=None)
    if not pulls:
        return spec
    trusted = context.host.event().origin == "own"
    return replace(spec, access=read_spec.access_for_reading(context, destination, nix, trusted=trusted))


def _only_pulls(context: Context, destination: Destination) -> str:
    """Why nothing may be written here; empty if it may."""
    if context.settings.push == "never":
        return "push is never"
    if lacking := context.lacks(destination):
        return lacking
    hosts = context.repository_cache(destination)
    if hosts and hosts.read_only:
        return hosts.read_only
    return "this is a dry run" if context.is_dry_run(destination) else ""
