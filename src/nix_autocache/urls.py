"""Store URLs, as Nix writes them: `scheme://authority/path?parameter=value&…`.

The URL that a user gives serves twice: we push to it, and it goes into nix.conf as the substituter.
Parameters that are only ours or Nix's to read are told apart here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import parse_qsl, urlencode, urlsplit

from .errors import InputError

WRITE_ONLY = frozenset({"compression", "compression-level", "parallel-compression", "secret-key", "write-nar-listing"})
_OBJECT_STORES = frozenset({"s3", "gs", "az"})
_UNREAD = frozenset({"gs", "az"})  # only we know these
_BARE = frozenset({"auto", "daemon", "local"})  # stores of Nix that are no URLs
_WITH_HOST = frozenset({"s3", "gs", "az", "http", "https", "ssh", "ssh-ng"})


@dataclass(frozen=True, kw_only=True)
class CacheUrl:
    """A parsed store URL. `params` holds the last value given for each parameter."""

    scheme: str
    authority: str
    path: str
    params: Mapping[str, str]

    def __str__(self) -> str:
        return self._text(self.params)

    @property
    def password(self) -> str:
        """What must not be shown: the password in `user:password@host`, or nothing."""
        return self.authority.rpartition("@")[0].partition(":")[2]

    @property
    def without_password(self) -> str:
        """For logs and outputs."""
        return str(self).replace(f":{self.password}@", ":…@") if self.password else str(self)

    @property
    def without_params(self) -> str:
        return self._text({})

    @property
    def asks_for_credentials(self) -> bool:
        """As a rule, which Nix, above all as a daemon, often has not, or which everybody could read in nix.conf."""
        return self.scheme in _OBJECT_STORES or bool(self.password)

    @property
    def is_read_by_nix(self) -> bool:
        return self.scheme not in _UNREAD

    @property
    def substituter(self) -> str:
        """The URL for nix.conf: without what only a writer needs, a reader would warn of it."""
        return self._text({name: value for name, value in self.params.items() if name not in WRITE_ONLY})

    def _text(self, params: Mapping[str, str]) -> str:
        # Nix splits parameters at `&` and `=` only; a `/` or `:` in a value (endpoint=http://…) stays readable.
        query = f"?{urlencode(params, safe='/:')}" if params else ""
        place = self.scheme if self.scheme in _BARE else f"{self.scheme}://{self.authority}{self.path}"
        return place + query


def parse_cache_url(text: str, *, name: str = "cache") -> CacheUrl:
    """Parse a store URL; a bare absolute path means a directory. Raises InputError naming input `name`."""
    if text.startswith("/"):
        text = f"file://{text}"
    bare, _, query = text.partition("?")
    parts = urlsplit(f"{bare}://?{query}" if bare in _BARE else text.strip())
    if not parts.scheme or ("://" not in text and bare not in _BARE):
        raise InputError(
            f"{name}: {text!r} is not a store URL; write it as Nix does, e.g. s3://bucket?region=eu-west-1"
        )
    if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
        raise InputError(f"{name}: {text!r} must name an absolute directory, as in file:///var/cache/nix")
    if parts.scheme in _WITH_HOST and not parts.netloc:
        raise InputError(f"{name}: {text!r} names no host or bucket")
    if "secret-key" in text:
        raise InputError(f"{name}: the signing key is not part of the URL; give it as `signing-key`")
    params = dict(parse_qsl(parts.query, keep_blank_values=True))
    return CacheUrl(
        scheme=parts.scheme,
        authority=parts.netloc,
        path=parts.path.rstrip("/"),
        params=MappingProxyType(params),
    )
