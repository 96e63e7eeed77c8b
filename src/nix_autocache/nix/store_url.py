"""Store URLs, as Nix writes them: `scheme://authority/path?parameter=value&…`.

The URL that a user gives serves twice: we push to it, and it goes into nix.conf as the substituter. So it is parsed
here once, every parameter by its type in `schemes`, and written anew in the one way that all versions of Nix read
alike. Nix 2.8 takes a path as it stands and later ones decode it: a path that they see differently is read by way of
the local reader (`needs_reader`). What is wrong is told here, and never with the password in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from ..errors import InputError
from ..schemes import SCHEMES, Kind, Parameter, Scheme, scheme
from ..system.parsers import FALSE, TRUE

_BARE: Final = frozenset({"auto", "daemon", "local"})  # stores of Nix that are no URLs
_PLAIN: Final = "/+=,;@&!'()*:$~"  # beside letters, digits and -._ what every Nix takes as it stands in a path
_KINDS: Final[Mapping[Kind, tuple[str, str]]] = {
    "boolean": ("|".join(sorted(TRUE | FALSE)), "true, yes, 1, false, no or 0"),
    "integer": (r"-?[0-9]{1,10}", "a whole number"),
    "size": (r"[0-9]{1,18}[KMGT]?", "a number, of bytes or as 8M"),
    "word": (r"[\w.+=@/-]+", "a word of letters, digits and -._"),
    "text": (r"[^\x00-\x1f\x7f]+", "a text of one line"),
    "path": (r"/[^\x00-\x1f\x7f]*", "an absolute path"),
    "endpoint": (
        r"(https?://)?([\w.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[\w./-]*)?",
        "a host, or its http(s):// URL",
    ),
}
_HOST = re.compile(r"([^@:/\s]+(:[^@/\s]*)?@)?([\w.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.ASCII)
_BUCKET = re.compile(r"[\w.$-]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ANOTHER = re.compile(r"\s/|[\s,;|][a-z][a-z0-9+-]*://", re.IGNORECASE)  # a second cache begins
_TOKEN: Final = 16  # characters from which on a user's name beside a password may be a token
_SECRET: Final = re.compile(r"(?i)(^|[-_.])(token|sas|sig|signature|password|passwd|secret|credentials?)$|token$")
_NAME: Final = re.compile(r"[\w.-]+", re.ASCII)
_LONE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, kw_only=True)
class CacheUrl:
    """A parsed store URL. `path` is decoded, but for servers that take it as it stands; `params` are decoded and fit
    the types that `schemes` has for them."""

    scheme: str
    authority: str
    path: str
    params: Mapping[str, str]

    def __str__(self) -> str:
        return self._text(self.params)

    @property
    def row(self) -> Scheme:
        return scheme(self.scheme)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown, in the ways that it may be written: the password of `user:password@host`, the user
        where that is a token (`https://TOKEN@host`), and parameters that are credentials."""
        user, colon, password = self._login.partition(":")
        found = [password, user if not colon or not password or len(user) >= _TOKEN else ""]
        found += [value for name, value in self.params.items() if _SECRET.search(name)]
        both = [(text, unquote(text), quote(text)) for text in found if text]
        return tuple(dict.fromkeys(text for texts in both for text in texts))

    @property
    def without_secrets(self) -> str:
        """For logs, outputs and files that others read."""
        shown = {name: "…" if _SECRET.search(name) else value for name, value in self.params.items()}
        text = self._text(shown).replace(quote("…"), "…")
        return text.replace(f"{self._login}@", "…@", 1) if self._login else text

    @property
    def _login(self) -> str:
        """What stands before the host: to HTTP all of it is a secret, to others what follows the user's name."""
        login = self.authority.rpartition("@")[0]
        return login if self.row.login_is_secret else login.partition(":")[2]

    @property
    def without_params(self) -> str:
        return self._text({})

    @property
    def asks_for_credentials(self) -> bool:
        """As a rule, which Nix, above all as a daemon, often has not, or which everybody could read in nix.conf."""
        return self.row.needs_credentials or bool(self.secrets)

    @property
    def needs_reader(self) -> bool:
        """Whether Nix reads it better by way of the local reader than by itself."""
        return self.row.any_user and (self.asks_for_credentials or not self._is_read_alike)

    @property
    def is_read_by_nix(self) -> bool:
        return self.row.read_by_nix

    @property
    def substituter(self) -> str:
        """The URL for nix.conf: without what only a writer needs, a reader would warn of it."""
        known = self.row.parameters
        return self._text({name: text for name, text in self.params.items() if _is_read(known.get(name))})

    @property
    def reading_query(self) -> str:
        """What of the parameters is for readers, wherever they read: to be put after the reader's own URL."""
        known = self.row.parameters
        return _query(
            {name: text for name, text in self.params.items() if name in known and known[name].use == "reading"}
        )

    def boolean(self, name: str, *, default: bool) -> bool:
        return self.params[name] in TRUE if name in self.params else default

    def integer(self, name: str, default: int) -> int:
        return int(self.params.get(name, default))

    @property
    def unused(self) -> tuple[str, ...]:
        """Parameters that Nix knows and that change nothing here."""
        known = self.row.parameters
        return tuple(name for name in self.params if name in known and known[name].use == "unused")

    @property
    def _is_read_alike(self) -> bool:
        # Nix 2.26 decodes the path of an HTTP URL and asks for it as it is then.
        return "%" not in self.path if self.row.path_is_encoded else _encoded(self.path) == self.path

    def _text(self, params: Mapping[str, str]) -> str:
        path = self.path if self.row.path_is_encoded else _encoded(self.path)
        place = self.scheme if self.scheme in _BARE else f"{self.scheme}://{self.authority}{path}"
        return place + _query(params)


def parse_cache_url(text: str, *, name: str = "cache") -> CacheUrl:
    """Parse a store URL; a bare absolute path means a directory. Raises InputError naming input `name`."""
    try:
        return _parse(text.strip())
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None


def of_directory(path: Path) -> CacheUrl:
    """The URL of a directory, whatever characters its name has."""
    return CacheUrl(scheme="file", authority="", path=str(path), params=MappingProxyType({}))


def _parse(text: str) -> CacheUrl:
    if _CONTROL.search(text) or _ANOTHER.search(text.partition("?")[0]):
        raise ValueError("more than one line, or more than one cache; give one store URL")
    if text.startswith("/"):
        path, mark, query = text.partition("?")
        text = f"file://{quote(path)}{mark}{query}"
    bare, _, query = text.partition("?")
    if bare not in _BARE and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise ValueError(f"{_shown(text)} is not a store URL; {_advice(text)}")
    parts = urlsplit(f"{bare}://?{query}" if bare in _BARE else bare)
    if parts.fragment or "#" in text:
        raise ValueError(f"{_shown(text)} has a # in it, which ends a URL; write %23")
    row = scheme(parts.scheme)
    _check_place(row, parts.netloc, parts.path)
    decoded = _decoded(parts.path)
    path = quote(parts.path, safe=_PLAIN + "%") if row.path_is_encoded else decoded
    return CacheUrl(
        scheme=parts.scheme,
        authority=parts.netloc,
        path=path.rstrip("/"),
        params=MappingProxyType(_params(row, query)),
    )


def _check_place(row: Scheme, authority: str, path: str) -> None:
    """Raises ValueError for what names no place of its scheme."""
    if row.name == "file" and (authority or not path.strip("/")):
        raise ValueError("a file:// URL must name an absolute directory, as in file:///var/cache/nix")
    if row.has_authority and not authority:
        raise ValueError(f"the {row.name}:// URL names no host or bucket")
    if row.needs_credentials and not _BUCKET.fullmatch(authority):
        raise ValueError(
            f"{row.name}:// is followed by a bucket's name alone; credentials come from the environment, "
            "a server of its own is `endpoint=`"
        )
    if row.has_authority and not row.needs_credentials and not _HOST.fullmatch(authority):
        raise ValueError(
            f"{row.name}:// is not followed by a host's name; special characters in a user or password are "
            "percent-encoded, such as %40 for @"
        )
    if row.has_authority and urlsplit(f"//{authority}").port == 0:
        raise ValueError("port 0 is no port")


def _params(row: Scheme, query: str) -> dict[str, str]:
    """The parameters, decoded as Nix does it: `+` stays. Raises ValueError for what the scheme has not or forbids."""
    found: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        if not _NAME.fullmatch(name):  # perhaps half of a password
            raise ValueError(
                "the name of a parameter has letters, digits and -._ only; in a password ? is %3F, & is %26"
            )
        if name in {"secret-key", "secret-keys"}:
            raise ValueError("the signing key is not part of the URL; give it as `signing-key`")
        if name in found:  # some versions of Nix take the first, others the last
            raise ValueError(f"{name} is given twice")
        if not value:
            raise ValueError(f"{name} has no value (is a variable empty?); leave it out, or write {name}=…")
        found[name] = _checked(row, name, _decoded(value))
    return found


def _checked(row: Scheme, name: str, value: str) -> str:
    parameter = row.parameters.get(name)
    if parameter is None:
        if row.any_parameters:
            return value
        raise ValueError(f"{row.name}:// has no parameter {name}; {_near(name, row)}")
    pattern, what = _KINDS.get(parameter.kind, ("", ""))
    if parameter.choices:
        pattern, what = "|".join(map(re.escape, parameter.choices)), f"one of {', '.join(parameter.choices)}"
    if not re.fullmatch(pattern, value, re.ASCII):
        raise ValueError(f"{name}={value} is not {what}")
    if parameter.kind == "integer" and not parameter.low <= int(value) <= parameter.high:
        raise ValueError(f"{name}={value} is not a whole number from {parameter.low} to {parameter.high}")
    return value


def _near(name: str, row: Scheme) -> str:
    import difflib

    near = difflib.get_close_matches(name, row.parameters, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(row.parameters)}"


def _is_read(parameter: Parameter | None) -> bool:
    return parameter is None or parameter.use in {"reading", "connecting"}


def _query(params: Mapping[str, str]) -> str:
    # A `/` or `:` in a value (endpoint=http://…) stays readable.
    pairs = [f"{name}={quote(value, safe='/:+,@')}" for name, value in params.items()]
    return f"?{'&'.join(pairs)}" if pairs else ""


def _encoded(path: str) -> str:
    return quote(path, safe=_PLAIN)


def _decoded(text: str) -> str:
    """Raises ValueError for what is no percent-encoded UTF-8."""
    if _LONE_PERCENT.search(text):
        raise ValueError("a percent sign is followed by two hexadecimal digits; write %25 for the sign itself")
    try:
        found = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("what is percent-encoded is not UTF-8") from None
    if _CONTROL.search(found):
        raise ValueError("a control character is percent-encoded in it")
    return found


def _shown(text: str) -> str:
    """What of a text may stand in a message: no parameters, and nothing that could be a password."""
    return repr(re.sub(r".*@", "…@", text.partition("?")[0]))


def _advice(text: str) -> str:
    """What somebody meant who gave this instead of a URL."""
    if found := re.match(r"arn:[a-z-]+:s3:::([\w.-]+)", text):
        return f"for the bucket of this ARN write s3://{found[1]}?region=…"
    if re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?(/\S*)?", text):
        return f"for the host of this name write https://{text}"
    if text.partition(":")[0].lower() in SCHEMES:
        return "two slashes follow the colon, as in s3://bucket?region=eu-west-1"
    return "write it as Nix does, e.g. s3://bucket?region=eu-west-1"
