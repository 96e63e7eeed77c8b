"""Store URLs as Nix writes them: `scheme://authority/path?parameter=value&…`.

The URL that the user gives is used twice: we push to it, and it becomes a substituter in nix.conf. It is parsed once,
and written in the one form that all versions of Nix read alike. Nix 2.8 does not decode a path and later versions do:
a directory whose path they read differently goes through our read proxy. No error message contains a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from ..errors import InputError
from ..schemes.scheme import Scheme
from ..schemes.table import SCHEMES, scheme
from ..system.dataclass import dataclass, replace
from ..system.parsers import TRUE
from . import period
from .url_parameters import is_for_readers
from .url_parameters import parse as parse_parameters
from .url_parameters import query as query_of
from .url_text import CONTROL, PLAIN, advice, decoded, encoded, shown

_DIRECTORY: Final = next(name for name, row in SCHEMES.items() if row.address == "directory")
_BARE: Final = frozenset({"auto", "daemon", "local"})  # stores of Nix that are not URLs
_HOST = re.compile(r"([^@:/\s]+(:[^@/\s]*)?@)?([\w.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.ASCII)
_BUCKET = re.compile(r"[\w.$-]+", re.ASCII)
_ANOTHER = re.compile(r"\s/|[\s,;|][a-z][a-z0-9+-]*://", re.IGNORECASE)  # a second URL follows
_TOKEN: Final = 16  # characters: a user name of this length beside a password may be a token
_SECRET: Final = re.compile(r"(?i)(^|[-_.])(token|sas|sig|signature|password|passwd|secret|credentials?)$|token$")


@dataclass(frozen=True, kw_only=True)
class CacheUrl:
    """A parsed store URL. `path` is decoded, except for schemes with `path_is_encoded`; `params` are decoded.

    That of a throwaway cache has a placeholder in its path, see `period`; `at` puts the period in its place.
    """

    scheme: str
    authority: str
    path: str
    params: Mapping[str, str]

    def __str__(self) -> str:
        return self._text(self.params)

    def __repr__(self) -> str:
        return f"CacheUrl({self.without_secrets!r})"

    @property
    def row(self) -> Scheme:
        return scheme(self.scheme)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must not be shown, in each of their spellings: the password of `user:password@host`, the user if
        it is a token (`https://TOKEN@host`), and parameters that are credentials."""
        user, colon, password = self._login.partition(":")
        found = [password, user if not colon or not password or len(user) >= _TOKEN else ""]
        found += [value for name, value in self.params.items() if _SECRET.search(name)]
        both = [(text, unquote(text), quote(text)) for text in found if text]
        return tuple(dict.fromkeys(text for texts in both for text in texts))

    @property
    def without_secrets(self) -> str:
        """For logs, outputs, and files that others read."""
        shown = {name: "…" if _SECRET.search(name) else value for name, value in self.params.items()}
        text = self._text(shown).replace(quote("…"), "…")
        return text.replace(f"{self._login}@", "…@", 1) if self._login else text

    @property
    def _login(self) -> str:
        """The secret part before the host: for HTTP all of it, for other schemes what follows the user's name."""
        login = self.authority.rpartition("@")[0]
        return login if self.row.login_is_secret else login.partition(":")[2]

    @property
    def directory(self) -> Path | None:
        """The cache itself, where it is a directory of this machine."""
        return Path(self.path) if self.row.address == "directory" else None

    @property
    def without_params(self) -> str:
        return self._text({})

    @property
    def wants_reader(self) -> bool:
        """True if Nix should read this cache through our read proxy: it is faster, or Nix cannot by itself."""
        return self.row.read_by_proxy or self.rotates or (self.directory is not None and not self._is_read_alike)

    @property
    def rotates(self) -> bool:
        """True for a throwaway cache, as the user writes it."""
        return self.row.rotates and period.rotates(self.path)

    def at(self, when: float) -> CacheUrl:
        """The cache of the period of `when`, in seconds since 1970; the same URL if it does not rotate."""
        return replace(self, path=period.at(self.path, when)) if self.rotates else self

    def before(self, when: float) -> CacheUrl | None:
        """The cache of the period before; None if it does not rotate."""
        return replace(self, path=period.before(self.path, when)) if self.rotates else None

    @property
    def is_read_by_nix(self) -> bool:
        return self.row.read_by_nix

    @property
    def substituter(self) -> str:
        """The URL for nix.conf, without the parameters for writers, of which a reader would warn."""
        known = self.row.parameters
        return self._text({name: text for name, text in self.params.items() if is_for_readers(known.get(name))})

    @property
    def reading_query(self) -> str:
        """The query with the parameters for readers, to append to the URL of the read proxy."""
        known = self.row.parameters
        return query_of(
            {name: text for name, text in self.params.items() if name in known and known[name].use == "reading"}
        )

    def boolean(self, name: str, *, default: bool) -> bool:
        return self.params[name] in TRUE if name in self.params else default

    def integer(self, name: str, default: int) -> int:
        return int(self.params.get(name, default))

    @property
    def unused(self) -> tuple[str, ...]:
        """Parameters that Nix knows and we ignore."""
        known = self.row.parameters
        return tuple(name for name in self.params if name in known and known[name].use == "unused")

    @property
    def _is_read_alike(self) -> bool:
        # Nix 2.26 decodes the path of an HTTP URL, and requests the decoded path.
        return "%" not in self.path if self.row.path_is_encoded else encoded(self.path) == self.path

    def _text(self, params: Mapping[str, str]) -> str:
        path = self.path if self.row.path_is_encoded else period.with_plain_braces(encoded(self.path))
        location = self.scheme if self.scheme in _BARE else f"{self.scheme}://{self.authority}{path}"
        return location + query_of(params)


def parse_cache_url(text: str, *, name: str = "cache") -> CacheUrl:
    """Parse a store URL; a bare absolute path means a directory. Raises InputError naming input `name`."""
    try:
        return _parse(text.strip())
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None


def of_directory(path: Path) -> CacheUrl:
    """The URL of a directory. Its name may contain any characters."""
    return CacheUrl(scheme=_DIRECTORY, authority="", path=str(path), params=MappingProxyType({}))


def of_scheme(row: Scheme) -> CacheUrl:
    """The URL of a cache that needs no name: the one that the CI host keeps."""
    return CacheUrl(scheme=row.name, authority="", path="", params=MappingProxyType({}))


def _parse(text: str) -> CacheUrl:
    if CONTROL.search(text) or _ANOTHER.search(text.partition("?")[0]):
        raise ValueError("more than one line, or more than one cache; give one store URL")
    if text.startswith("/"):
        path, mark, query = text.partition("?")
        text = f"{_DIRECTORY}://{quote(path)}{mark}{query}"
    bare, _, query = text.partition("?")
    if bare not in _BARE and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise ValueError(f"{shown(text)} is not a store URL; {advice(text)}")
    parts = urlsplit(f"{bare}://?{query}" if bare in _BARE else bare)
    if parts.fragment or "#" in text:
        raise ValueError(f"{shown(text)} has a # in it, which ends a URL; write %23")
    row = scheme(parts.scheme)
    _check_location(row, parts.netloc, parts.path)
    plain = decoded(parts.path)
    if row.address != "directory":  # whose name may have any braces
        period.check(plain, rotates=row.rotates)
    path = quote(parts.path, safe=PLAIN + "%") if row.path_is_encoded else plain
    return CacheUrl(
        scheme=parts.scheme,
        authority=parts.netloc,
        path=path.rstrip("/"),
        params=MappingProxyType(parse_parameters(row, query)),
    )


def _check_location(row: Scheme, authority: str, path: str) -> None:
    """Raises ValueError if the scheme does not allow this authority or path."""
    if row.address == "directory" and (authority or not path.strip("/")):
        raise ValueError(f"a {row.name}:// URL must name an absolute directory, as in {row.name}:///var/cache/nix")
    if row.kept_by_host and (authority or path.strip("/")):
        raise ValueError(f"{row.name}:// is the cache of the repository that runs this job; nothing follows it")
    if row.address not in {"host", "bucket"}:
        return
    if not authority:
        raise ValueError(f"the {row.name}:// URL names no host or bucket")
    if row.address == "bucket" and not _BUCKET.fullmatch(authority):
        raise ValueError(
            f"{row.name}:// is followed by a bucket's name alone; credentials come from the environment, "
            "a server of its own is `endpoint=`"
        )
    if row.address == "host" and not _HOST.fullmatch(authority):
        raise ValueError(
            f"{row.name}:// is not followed by a host's name; special characters in a user or password are "
            "percent-encoded, such as %40 for @"
        )
    if urlsplit(f"//{authority}").port == 0:
        raise ValueError("port 0 is no port")
