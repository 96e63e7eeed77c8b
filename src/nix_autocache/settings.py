"""Every input once: its name, what it may be, its default and its documentation.

GitHub's `with:`, the environment, the command line's flags, action.yml and the reference in the docs
are all read from `INPUTS`. To add an input, add a row there and a field to `Settings`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, get_args

from .errors import InputError
from .nix.access_tokens import parse as parse_tokens
from .nix.keys import CACHE_NIXOS_ORG, KeySource, PublicKey, parse_public
from .nix.store_url import CacheUrl, parse_boolean, parse_cache_url
from .schemes import CREDENTIALS
from .system.text import clean

PINNED_NIX: Final = "2.34.7"
ENVIRONMENT_PREFIX: Final = "NIX_AUTOCACHE_"

Push = Literal["auto", "always", "never"]
ModeInput = Literal["auto", "multi-user", "single-user", "existing"]
Compression = Literal["zstd", "xz", "none"]
COMPRESSIONS: Final[tuple[Compression, ...]] = get_args(Compression)
OnFailure = Literal["warn", "fail"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the user asked for, parsed. `cache` and `dry_run` are None where the host decides."""

    cache: CacheUrl | None
    signing_key: KeySource
    public_keys: tuple[PublicKey, ...]
    aws_role: str
    oidc_audience: str
    id_token: str = field(repr=False)
    push: Push
    mode: ModeInput
    nix_version: str
    nix_url: str
    nix_sha256: str
    extra_nix_conf: str
    github_token: str = field(repr=False)
    upstream_keys: tuple[PublicKey, ...]
    exclude: re.Pattern[str] | None
    compression: Compression
    compression_level: int
    harden: bool
    on_upload_failure: OnFailure
    flush_timeout: int
    cache_size: int
    dry_run: bool | None


@dataclass(frozen=True, kw_only=True)
class Input:
    """One row of the reference. `parse` gets the text and this input's name, and raises InputError."""

    name: str
    default: str
    doc: str
    parse: Callable[[str, str], Any]
    choices: tuple[str, ...] = ()
    metavar: str = "TEXT"
    default_doc: str = ""
    github_default: str = ""
    numeric: bool = False
    only: Literal["", "GitLab"] = ""  # the one CI host where it means something

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper().replace("-", "_")

    @property
    def attribute(self) -> str:
        return self.name.replace("-", "_")


def _text(text: str, name: str) -> str:
    return text


def _signing_key(text: str, name: str) -> KeySource:
    return KeySource.parse(text)


def _choice(*allowed: str) -> Callable[[str, str], str]:
    def parse(text: str, name: str) -> str:
        if text not in allowed:
            raise InputError(f"{name}: {text!r} is not one of {', '.join(allowed)}")
        return text

    return parse


def _number(low: int, high: int) -> Callable[[str, str], int]:
    def parse(text: str, name: str) -> int:
        if not re.fullmatch("[0-9]+", text) or not low <= int(text) <= high:
            raise InputError(f"{name}: {text!r} is not a whole number from {low} to {high}")
        return int(text)

    return parse


def _boolean(text: str, name: str) -> bool:
    value = parse_boolean(text.lower())
    if value is None:
        raise InputError(f"{name}: {text!r} is neither true nor false")
    return value


def _push(text: str, name: str) -> str:
    """Other actions' `push` is true or false."""
    value = parse_boolean(text.lower())
    return _choice("auto", "always", "never")(text if value is None else "auto" if value else "never", name)


def _optional(parse: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
    return lambda text, name: parse(text, name) if text else None


def _cache(text: str, name: str) -> CacheUrl:
    return parse_cache_url(text, name=name)


def _role(text: str, name: str) -> str:
    if text and not re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+", text):
        raise InputError(f"{name}: {text!r} is not a role's ARN such as arn:aws:iam::123456789012:role/ci")
    return text


def parse_compression(text: str, name: str = "compression") -> Compression:
    """Raises InputError for a name that Nix has and we have not."""
    for known in COMPRESSIONS:
        if text == known:
            return known
    raise InputError(f"{name}: {text!r} is not one of {', '.join(COMPRESSIONS)}")


def _public_keys(text: str, name: str) -> tuple[PublicKey, ...]:
    return tuple(parse_public(word, name=name) for word in text.split())


def _upstreams(text: str, name: str) -> tuple[PublicKey, ...]:
    return tuple(_upstream(word, name) for word in text.split())


def _upstream(word: str, name: str) -> PublicKey:
    if word == CACHE_NIXOS_ORG.partition(":")[0]:
        word = CACHE_NIXOS_ORG
    if ":" not in word:
        if re.search("[,;\"']", word):
            raise InputError(f"{name}: {word!r} is no name of a key; names are separated by blanks, without quotes")
        raise InputError(
            f"{name}: the key of {word!r} is not known, and anybody can add a signature of that name to a path; "
            f"write the whole public key, `{word}:…`"
        )
    return parse_public(word, name=name)


def _pattern(text: str, name: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise InputError(f"{name}: {text!r} is not a regular expression: {error}") from None


def _version(text: str, name: str) -> str:
    if re.fullmatch(r"\d+\.\d", text):
        raise InputError(f"{name}: {text} is what YAML makes of {text}0; write it in quotes, and in full: '{text}0.0'")
    if not re.fullmatch(r"\d+\.\d+(\.\d+)?", text):
        raise InputError(f"{name}: {text!r} is not a Nix version such as {PINNED_NIX}")
    return text


def _tarball(text: str, name: str) -> str:
    if text and not re.fullmatch(r"(https?|file)://\S+", text):
        raise InputError(f"{name}: {text!r} is not an https://, http:// or file:// URL")
    return text


def _line(text: str, name: str) -> str:
    """One line; it may be a secret."""
    if not text.isprintable():
        raise InputError(f"{name}: there is a line break or a control character in it")
    return text


def _sha256(text: str, name: str) -> str:
    if text and not re.fullmatch(r"[0-9a-f]{64}", text):
        raise InputError(f"{name}: {text!r} is not a sha256 in 64 lower-case hexadecimal digits")
    return text


INPUTS: Final = (
    Input(
        name="cache",
        default="",
        default_doc="a directory of this machine",
        metavar="URL",
        parse=_optional(_cache),
        doc="Store URL of the binary cache, in Nix's own syntax, parameters included: "
        "`s3://bucket?region=…&endpoint=…`, `gs://`, `az://`, `http(s)://`, `file://`. Any other URL "
        "(`ssh-ng://…`) goes through `nix copy`.",
    ),
    Input(
        name="signing-key",
        default="",
        metavar="KEY",
        parse=_signing_key,
        doc="Secret key `name:base64`, or where to find it: `file:PATH`, `env:NAME`, `aws-ssm:NAME` (a parameter) or "
        "`aws-secretsmanager:NAME`.",
    ),
    Input(
        name="public-keys",
        default="",
        default_doc="the signing key's own",
        metavar="KEYS",
        parse=_public_keys,
        doc="Public keys `name:base64` that Nix should trust, separated by spaces. Added to "
        "`extra-trusted-public-keys`.",
    ),
    Input(
        name="aws-role",
        default="",
        metavar="ARN",
        parse=_role,
        doc="AWS role to assume with the job's id token (OIDC), for the bucket and for a signing key stored in AWS.",
    ),
    Input(
        name="oidc-audience",
        default="sts.amazonaws.com",
        metavar="TEXT",
        parse=_line,
        doc="Audience of the id token, on CI hosts that let the job choose it, such as GitHub.",
    ),
    Input(
        name="id-token",
        default="",
        default_doc="requested from the CI host",
        metavar="TOKEN",
        parse=_line,
        doc="The id token itself, on CI hosts that provide it as a variable, such as GitLab.",
    ),
    Input(
        name="push",
        default="auto",
        choices=("auto", "always", "never"),
        parse=_push,
        doc="When to upload: `auto` for trusted events, `always` for untrusted events too, `never` only pulls. `true` "
        "means `auto`, `false` means `never`.",
    ),
    Input(
        name="mode",
        default="auto",
        choices=("auto", "multi-user", "single-user", "existing"),
        parse=_choice("auto", "multi-user", "single-user", "existing"),
        doc="How to run Nix. `auto` picks the best mode that this machine allows.",
    ),
    Input(
        name="nix-version",
        default=PINNED_NIX,
        metavar="VERSION",
        parse=_version,
        doc="Nix release to install if the machine has no Nix.",
    ),
    Input(
        name="nix-url",
        default="",
        default_doc="the publisher's",
        metavar="URL",
        parse=_tarball,
        doc="Another release tarball to install from (`https://`, `http://` or `file://`).",
    ),
    Input(
        name="nix-sha256",
        default="",
        default_doc="known for the pinned release",
        metavar="HEX",
        parse=_sha256,
        doc="SHA-256 of the release tarball, in hexadecimal.",
    ),
    Input(name="extra-nix-conf", default="", metavar="LINES", parse=_text, doc="Lines to add to nix.conf."),
    Input(
        name="github-token",
        default="",
        default_doc="`${{ github.token }}` on GitHub",
        github_default="${{ github.token }}",
        metavar="TOKEN",
        parse=parse_tokens,
        doc="Token that Nix itself uses to fetch from GitHub (`access-tokens`), or from the GHES, Forgejo or Gitea "
        "server that runs the workflow. Write `HOST=TOKEN` for another server.",
    ),
    Input(
        name="upstream-keys",
        default=CACHE_NIXOS_ORG.partition(":")[0],
        metavar="KEYS",
        parse=_upstreams,
        doc="Paths that these keys signed are not uploaded. Give whole public keys, or the name `cache.nixos.org-1`.",
    ),
    Input(
        name="exclude",
        default="",
        metavar="REGEX",
        parse=_optional(_pattern),
        doc="Regular expression. Store paths whose name (after the hash) contains a match are never uploaded.",
    ),
    Input(
        name="compression",
        default="zstd",
        choices=COMPRESSIONS,
        parse=parse_compression,
        doc="Compression of the archives. The URL's `compression` parameter takes precedence.",
    ),
    Input(
        name="compression-level",
        default="3",
        metavar="N",
        numeric=True,
        parse=_number(0, 22),
        doc="Compression level: 0 (the library's default) to 22 for zstd, 0 to 9 for xz.",
    ),
    Input(
        name="harden",
        default="false",
        choices=("true", "false"),
        parse=_boolean,
        doc="After setup, take sudo and container sockets away from the job's user, so that the job's code cannot "
        "reach the key. The report says whether that was enough.",
    ),
    Input(
        name="on-upload-failure",
        default="warn",
        choices=("warn", "fail"),
        parse=_choice("warn", "fail"),
        doc="What happens to the job if something could not be uploaded: `warn` prints a warning, `fail` fails the "
        "job.",
    ),
    Input(
        name="flush-timeout",
        default="600",
        metavar="SECONDS",
        numeric=True,
        parse=_number(1, 86400),
        doc="How many seconds the end of the job may wait for uploads. Never longer than the CI host allows, such as "
        "GitLab's five minutes for after_script.",
    ),
    Input(
        name="cache-size",
        default="2000",
        metavar="MB",
        numeric=True,
        only="GitLab",
        parse=_number(1, 10**6),
        doc="Without `cache`: maximum size of the cache that GitLab keeps, in megabytes. The least recently used "
        "paths are removed first.",
    ),
    Input(
        name="dry-run",
        default="",
        default_doc="false; true under act and gitlab-ci-local without credentials",
        choices=("true", "false"),
        parse=_optional(_boolean),
        doc="Do everything except write to the cache, and report what would be uploaded.",
    ),
)

# What GitLab's template needs before this program is there; none of it gets here.
TEMPLATE_INPUTS: Final = (
    Input(
        name="job",
        default=".nix-autocache",
        parse=_text,
        doc="Name of the hidden job that your jobs extend. `default` makes it the default of all jobs instead.",
    ),
    Input(
        name="steps",
        default=".nix-autocache-steps",
        parse=_text,
        doc="Name of the hidden job that offers the same in parts, for `!reference`: `setup`, `finish`, `cache`, "
        "`id_tokens`.",
    ),
    Input(
        name="install",
        default="",
        default_doc="none; required until there is a release",
        parse=_text,
        doc="Where to get this program: `git+URL@COMMIT`, a directory, or a pip requirement with a hash, "
        "`nix-autocache==1.2.3 --hash=sha256:…`.",
    ),
    Input(
        name="cache-key",
        default="$CI_JOB_NAME_SLUG",
        parse=_text,
        doc="Distinguishes the caches that GitLab keeps. Jobs with the same key share a cache. If they run at the "
        "same time, only the last one's is kept.",
    ),
)


_NAMES: Final = tuple(row.name for row in INPUTS)


def read(
    given: Mapping[str, str], environ: Mapping[str, str], flags: Mapping[str, str], *, strict: bool = True
) -> Settings:
    """The settings from a CI host's inputs, `NIX_AUTOCACHE_*` and flags; the later beats the earlier.

    An empty value counts as not given, as an empty secret is on every CI host. Raises InputError, if `strict` also
    for a given name that is no input; without it, `doubtful` warns of those that look like one.
    """
    for name in given:
        if strict and name not in _NAMES:
            raise InputError(f"unknown input {name}; {_near(name, _NAMES) or 'known are ' + ', '.join(_NAMES)}")
    values = {}
    for row in INPUTS:
        texts = map(clean, (flags.get(row.name, ""), environ.get(row.variable, ""), given.get(row.name, "")))
        values[row.attribute] = row.parse(next(filter(None, texts), row.default), row.name)
    settings = Settings(**values)
    _check_together(settings)
    return settings


def archive_format(settings: Settings) -> tuple[Compression, int]:
    """How archives are compressed: the URL's parameters beat the inputs. Raises InputError for what does not fit."""
    params = settings.cache.params if settings.cache else {}
    compression = parse_compression(params.get("compression", settings.compression), "compression")
    level = int(params.get("compression-level", -1))
    if level < 0:  # Nix's word for whatever is usual
        level = settings.compression_level
    if compression == "xz" and level > 9:
        raise InputError(f"compression-level: {level} is too high for xz, which has 0 to 9")
    return compression, level


def doubtful(environ: Mapping[str, str]) -> Iterator[str]:
    """A warning for each variable that is no input, and looks as if somebody had meant one."""
    variables = {row.variable for row in INPUTS}
    for name in sorted(environ):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in variables:
            advice = _near(name, variables) or "`nix-autocache setup --help` names those that there are"
            yield f"{name} is no input and is ignored; {advice}"
        word = name.removeprefix("INPUT_").lower()
        if word != name.lower() and word not in _NAMES and (advice := _near(word, _NAMES)):
            yield f"{name} is no input of nix-autocache and is ignored; {advice}"


def _near(name: str, known: Collection[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    return f"did you mean {near[0]}?" if near else ""


def _check_together(settings: Settings) -> None:
    archive_format(settings)
    if settings.nix_url and not settings.nix_sha256:
        raise InputError("nix-sha256: must be given with nix-url, as sha256sum prints it")


assert {row.attribute for row in INPUTS} == {f.name for f in fields(Settings)}, "every input has its field"


def forget_empty_credentials(environ: MutableMapping[str, str]) -> None:
    """Take out the cloud's variables that are empty, as a secret that is not there: boto3 and obstore use some of them
    as if they were given."""
    for name in [name for name, value in environ.items() if name.startswith(CREDENTIALS) and not value]:
        del environ[name]
