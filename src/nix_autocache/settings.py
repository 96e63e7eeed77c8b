"""The inputs: one row each with name, default, parser and documentation, and the order of precedence.

GitHub's `with:`, the environment, the flags of the command line, action.yml and the reference pages all come from
`INPUTS`. To add an input, add a row there and a field to `Settings`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from typing import Any, Final, Literal, get_args

from .errors import InputError
from .nix.access_tokens import parse as parse_tokens
from .nix.install.release import PINNED_NIX, parse_tarball_url, parse_version
from .nix.key_source import KeySource
from .nix.keys import CACHE_NIXOS_ORG, PublicKey, parse_public_keys, parse_upstream_keys
from .nix.store_url import CacheUrl, parse_cache_url
from .schemes.table import credential_prefixes
from .system.dataclass import dataclass, field, fields
from .system.parsers import as_boolean, boolean, choice, line, number, optional, pattern, role_arn, sha256, text
from .system.text import clean

ENVIRONMENT_PREFIX: Final = "NIX_AUTOCACHE_"
GITLAB_CACHE_SIZE: Final = 2000  # megabytes

Push = Literal["auto", "always", "never"]
ModeInput = Literal["auto", "multi-user", "single-user", "existing"]
Compression = Literal["zstd", "xz", "none"]
COMPRESSIONS: Final[tuple[Compression, ...]] = get_args(Compression)
OnFailure = Literal["warn", "fail"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The parsed inputs. `cache`, `cache_size` and `dry_run` are None if they are not given: the CI host decides."""

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
    cache_size: int | None
    matrix: str
    dry_run: bool | None
    check: bool


@dataclass(frozen=True)
class Input:
    """One row of the reference. `parse` gets the text and the input's name, and raises InputError."""

    name: str
    default: str
    doc: str
    parse: Callable[[str, str], Any]
    choices: tuple[str, ...] = ()
    metavar: str = "TEXT"
    default_doc: str = ""
    github_default: str = ""
    gitlab_default: str = ""
    numeric: bool = False
    only: Literal["", "GitHub", "GitLab"] = ""  # the only CI host that has this input

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper().replace("-", "_")

    @property
    def attribute(self) -> str:
        return self.name.replace("-", "_")


def _push(text: str, name: str) -> str:
    """Other actions' `push` is true or false."""
    value = as_boolean(text.lower())
    return choice("auto", "always", "never")(text if value is None else "auto" if value else "never", name)


def _signing_key(text: str, name: str) -> KeySource:
    return KeySource.parse(text)


def _cache(text: str, name: str) -> CacheUrl:
    return parse_cache_url(text, name=name)


def parse_compression(text: str, name: str = "compression") -> Compression:
    """Raises InputError for a compression that Nix knows and we do not."""
    for known in COMPRESSIONS:
        if text == known:
            return known
    raise InputError(f"{name}: {text!r} is not one of {', '.join(COMPRESSIONS)}")


INPUTS: Final = (
    Input(
        name="cache",
        default="",
        default_doc="`gha://` where the CI host has an Actions cache, else a directory of this machine",
        metavar="URL",
        parse=optional(_cache),
        doc="Store URL of the binary cache, in Nix's own syntax, parameters included: "
        "`s3://bucket?region=…&endpoint=…`, `gs://`, `az://`, `http(s)://`, `file://`. Any other URL "
        "(`ssh-ng://…`) goes through `nix copy`. `gha://` is the cache that GitHub keeps for the repository. "
        "`{week}` or `{month}` in a bucket's path makes it a throwaway cache.",
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
        parse=parse_public_keys,
        doc="Public keys `name:base64` that Nix should trust, separated by spaces. Added to "
        "`extra-trusted-public-keys`.",
    ),
    Input(
        name="aws-role",
        default="",
        metavar="ARN",
        parse=role_arn,
        doc="AWS role to assume with the job's id token (OIDC), for the bucket and for a signing key stored in AWS.",
    ),
    Input(
        name="oidc-audience",
        default="sts.amazonaws.com",
        metavar="TEXT",
        parse=line,
        doc="Audience of the id token, on CI hosts that let the job choose it, such as GitHub.",
    ),
    Input(
        name="id-token",
        default="",
        default_doc="requested from the CI host",
        metavar="TOKEN",
        parse=line,
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
        parse=choice("auto", "multi-user", "single-user", "existing"),
        doc="How to run Nix. `auto` picks the best mode that this machine allows.",
    ),
    Input(
        name="nix-version",
        default=PINNED_NIX,
        metavar="VERSION",
        parse=parse_version,
        doc="Nix release to install if the machine has no Nix.",
    ),
    Input(
        name="nix-url",
        default="",
        default_doc="the publisher's",
        metavar="URL",
        parse=parse_tarball_url,
        doc="Another release tarball to install from (`https://`, `http://` or `file://`).",
    ),
    Input(
        name="nix-sha256",
        default="",
        default_doc="known for the pinned release",
        metavar="HEX",
        parse=sha256,
        doc="SHA-256 of the release tarball, in hexadecimal.",
    ),
    Input(name="extra-nix-conf", default="", metavar="LINES", parse=text, doc="Lines to add to nix.conf."),
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
        parse=parse_upstream_keys,
        doc="Paths that these keys signed are not uploaded. Give whole public keys, or the name `cache.nixos.org-1`.",
    ),
    Input(
        name="exclude",
        default="",
        metavar="REGEX",
        parse=optional(pattern),
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
        parse=number(0, 22),
        doc="Compression level: 0 (the library's default) to 22 for zstd, 0 to 9 for xz.",
    ),
    Input(
        name="harden",
        default="false",
        choices=("true", "false"),
        parse=boolean,
        doc="After setup, take sudo and container sockets away from the job's user, so that the job's code cannot "
        "reach the key. The report says whether that was enough.",
    ),
    Input(
        name="on-upload-failure",
        default="warn",
        choices=("warn", "fail"),
        parse=choice("warn", "fail"),
        doc="What happens to the job if something could not be uploaded: `warn` prints a warning, `fail` fails the "
        "job.",
    ),
    Input(
        name="flush-timeout",
        default="600",
        metavar="SECONDS",
        numeric=True,
        parse=number(1, 86400),
        doc="How many seconds the end of the job may wait for uploads. Never longer than the CI host allows, such as "
        "GitLab's five minutes for after_script.",
    ),
    Input(
        name="cache-size",
        default="",
        default_doc=f"`gha://` 5000 on the default branch and 1000 elsewhere, GitLab {GITLAB_CACHE_SIZE}",
        gitlab_default=f"{GITLAB_CACHE_SIZE}",
        metavar="MB",
        numeric=True,
        parse=optional(number(1, 10**6)),
        doc="Maximum size of a cache that the CI host keeps, in megabytes: of `gha://`, where each branch has its own, "
        "and on GitLab without `cache`. The least recently used paths are removed first.",
    ),
    Input(
        name="matrix",
        default="",
        default_doc="the job's",
        github_default="${{ toJSON(matrix) }}",
        only="GitHub",
        parse=text,
        doc="What tells the jobs of a matrix apart: what each used is kept for its next run. Leave it as it is.",
    ),
    Input(
        name="dry-run",
        default="",
        default_doc="false; true under act and gitlab-ci-local without credentials",
        choices=("true", "false"),
        parse=optional(boolean),
        doc="Do everything except write to the cache, and report what would be uploaded.",
    ),
    Input(
        name="check",
        default="false",
        choices=("true", "false"),
        parse=boolean,
        doc="Before the job begins, try the cache with its credentials, as `nix-autocache check` does, and fail the "
        "job if something does not work.",
    ),
)

# Inputs of GitLab's template, which uses them before it starts this program. `read` never sees them.
TEMPLATE_INPUTS: Final = (
    Input(
        name="job",
        default=".nix-autocache",
        parse=text,
        doc="Name of the hidden job that your jobs extend.",
    ),
    Input(
        name="all-jobs",
        default=".nix-autocache-all-jobs",
        parse=text,
        choices=(".nix-autocache-all-jobs", "default"),
        doc="`default` applies it to all jobs of the pipeline, which then extend nothing. GitLab's `default` takes no "
        "variables: set those of `steps` for the pipeline.",
    ),
    Input(
        name="steps",
        default=".nix-autocache-steps",
        parse=text,
        doc="Name of the hidden job that offers the same in parts, for `!reference`: `setup`, `finish`, `cache`, "
        "`variables`, `id_tokens`.",
    ),
    Input(
        name="install",
        default="",
        default_doc="in a release, the commit that it was made from; else required",
        parse=text,
        doc="Where to get this program: `git+URL@COMMIT`, a directory, or a pip requirement with a hash, "
        "`nix-autocache==1.2.3 --hash=sha256:…`.",
    ),
    Input(
        name="cache-key",
        default="$CI_JOB_NAME_SLUG",
        parse=text,
        doc="Distinguishes the caches that GitLab keeps. Jobs with the same key share a cache. If they run at the "
        "same time, only the last one's is kept.",
    ),
)


_NAMES: Final = tuple(row.name for row in INPUTS)


def read(
    given: Mapping[str, str], environ: Mapping[str, str], flags: Mapping[str, str], *, strict: bool = True
) -> Settings:
    """Flags take precedence over `NIX_AUTOCACHE_*` variables, and these over the CI host's inputs (`given`).

    An empty value counts as not given: CI hosts pass missing secrets as empty. Raises InputError; if `strict`, also
    for an unknown name in `given`. If not, `doubtful` finds the names that look like an input.
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
    """Compression and level. Parameters of the cache URL take precedence over inputs. Raises InputError."""
    params = settings.cache.params if settings.cache else {}
    compression = parse_compression(params.get("compression", settings.compression), "compression")
    level = int(params.get("compression-level", -1))
    if level < 0:  # Nix: the default level
        level = settings.compression_level
    if compression == "xz" and level > 9:
        raise InputError(f"compression-level: {level} is too high for xz, which has 0 to 9")
    return compression, level


def doubtful(environ: Mapping[str, str]) -> Iterator[str]:
    """A warning for each variable that looks like an input and is none."""
    variables = {row.variable for row in INPUTS}
    for name in sorted(environ):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in variables:
            advice = _near(name, variables) or "`nix-autocache setup --help` lists the inputs"
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
    """Delete empty credential variables, which CI hosts make of missing secrets: boto3 and obstore would use some."""
    prefixes = credential_prefixes()
    for name in [name for name, value in environ.items() if name.startswith(prefixes) and not value]:
        del environ[name]
