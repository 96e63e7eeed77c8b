"""The types of the table of schemes. `Scheme` is a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ..system.dataclass import dataclass

Kind = Literal["boolean", "integer", "size", "choice", "word", "text", "path", "endpoint"]
Cloud = Literal["aws", "google", "azure", "github"]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a store URL.

    `reading`: every reader of the cache needs it, also behind a proxy. `connecting`: it says where the cache is or
    how to get in. `writing`: only an uploader needs it. `unused`: Nix knows it, and we do nothing with it.
    """

    kind: Kind
    use: Literal["reading", "connecting", "writing", "unused"]
    choices: tuple[str, ...] = ()
    low: int = -(2**31)  # the range of C++'s int
    high: int = 2**31 - 1


@dataclass(frozen=True)
class SecretFile:
    """A file with a secret, which the environment variable `variable` names.

    An uploader of another user gets its content as variables: the whole text in `text_variable`, or the values of one
    section of an INI file in `value_variables`, of which the first must be there. Without both it gets nothing.
    A line with the word `program_key` names a program that the client runs.
    """

    variable: str
    text_variable: str
    value_variables: tuple[str, ...]
    program_key: str


@dataclass(frozen=True)
class Credentials:
    """How the clients of a cloud get in. No field has a default: a forgotten one could hide a way to a secret.

    `variables` are prefixes of the environment variables that a client reads. Any one of `sufficient` is enough to get
    in; without them a client asks the machine's own services of `cloud`. All of `complete` together sign a request.
    `token_files` are variables that name a file whose token is replaced from time to time; `home_files` are looked for
    below HOME; `profile` is the variable that chooses a section of the user's own files. Those `of_host` are given by
    the CI host to each action of a job, for the cache that it keeps: the workflow cannot hold them back.
    """

    provider: str  # for messages
    cloud: Cloud
    variables: tuple[str, ...]
    sufficient: tuple[str, ...]
    complete: tuple[str, ...]
    secret_files: tuple[SecretFile, ...]
    token_files: tuple[str, ...]
    home_files: tuple[str, ...]
    profile: str
    of_host: bool

    def are_sufficient(self, environ: Mapping[str, str]) -> bool:
        """True if a variable is enough to get in."""
        return any(environ.get(name) for name in self.sufficient)

    def are_complete(self, environ: Mapping[str, str]) -> bool:
        """True if the variables alone can sign a request."""
        return bool(self.complete) and all(environ.get(name) for name in self.complete)


@dataclass(frozen=True)
class Scheme:
    """A kind of cache. A field with a default may be forgotten: no job is reported as sealed because of it."""

    name: str
    opener: str  # dotted name of the function that opens it, called with a CacheUrl and an Access
    parameters: Mapping[str, Parameter]
    address: Literal["directory", "host", "bucket", "repository", "other"]  # what the URL names
    read_by_nix: bool
    read_by_proxy: bool  # and faster than Nix does
    credentials: Credentials | None  # None: it needs none, as a rule, beside those in the URL
    early_opener: str = ""  # opens it before the job's secrets are known; called with a CacheUrl, variables and a count
    init_storage: str = ""  # module of `onboarding/` by which `init` makes the bucket and stores its credentials
    any_parameters: bool = False  # parameters that are not in the table are passed on to Nix
    login_is_secret: bool = True  # in scheme://login@host, the user's name included
    path_is_encoded: bool = False  # the path goes to the server as it stands, percent-encoding included
    other_user_can_push: bool = False  # an uploader of another user can write there, if it has the secrets

    @property
    def kept_by_host(self) -> bool:
        """True for the cache that the CI host keeps for a job's repository: the URL need not name it."""
        return self.address == "repository"

    @property
    def rotates(self) -> bool:
        """True if `{week}` and `{month}` in the URL stand for a period: what is old can be removed by its prefix."""
        return self.address in {"bucket", "directory"}

    @property
    def variables_of_host(self) -> tuple[str, ...]:
        """Prefixes of the variables by which the CI host lets a step use the cache that it keeps; none for others."""
        return self.credentials.variables if self.credentials and self.credentials.of_host else ()
