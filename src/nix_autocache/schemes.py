"""Cache schemes: what is known of each kind of store URL, one row a scheme. Data only; imports nothing of ours.

To add a destination, write its file in `caches/` and its row here: whoever asks about schemes asks this table. A
scheme without a row is left to `nix copy` (`OTHER`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Kind = Literal["boolean", "integer", "size", "choice", "word", "text", "path", "endpoint"]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of a store URL.

    `reading`: whoever reads the cache needs it, through whatever proxy. `connecting`: it says where the cache is or
    how to get in. `writing`: only who pushes needs it. `unused`: Nix knows it, and we do nothing with it.
    """

    kind: Kind
    use: Literal["reading", "connecting", "writing", "unused"]
    choices: tuple[str, ...] = ()
    low: int = -(2**31)  # what fits into C++'s int
    high: int = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A kind of cache. `variables` are prefixes of the environment variables that its client reads; of them,
    `secret_files` name a file with a secret, `token_files` one with a token that is written anew, and `credentials` are
    enough to get in: with none of these set, the machine's own are asked of its `cloud`."""

    name: str
    opener: str  # dotted name of the function that opens it, called with a CacheUrl and an Access
    parameters: Mapping[str, Parameter]
    any_parameters: bool = False  # those that are not in the table are Nix's to judge
    has_authority: bool = True  # a host or a bucket follows the two slashes
    login_is_secret: bool = False  # in scheme://login@host, the user's name included
    path_is_encoded: bool = False  # the path goes to the server as it stands, percent-encoding included
    read_by_nix: bool = True
    needs_credentials: bool = False  # as a rule; a nix-daemon, which reads for everybody, has none
    any_user: bool = True  # an uploader of another user can write there, if it has the secrets
    variables: tuple[str, ...] = ()
    secret_files: tuple[str, ...] = ()
    token_files: tuple[str, ...] = ()
    cloud: Literal["", "aws", "google", "azure"] = ""
    credentials: tuple[str, ...] = ()


_BOOLEAN_OF_READERS: Final = Parameter(kind="boolean", use="reading")
_NO_COMPRESSION: Final = Parameter(kind="word", use="writing")  # of narinfos and listings, which we leave as they are

# Those of every store, and those of every binary cache. Source: the headers of libstore in Nix 2.3 to 2.35.
_STORE: Final = {
    "priority": Parameter(kind="integer", use="reading"),
    "trusted": _BOOLEAN_OF_READERS,
    "want-mass-query": _BOOLEAN_OF_READERS,
    "system-features": Parameter(kind="text", use="reading"),
    "path-info-cache-size": Parameter(kind="size", use="reading"),
}
_BINARY_CACHE: Final = {
    **_STORE,
    "local-nar-cache": Parameter(kind="path", use="reading"),
    "compression": Parameter(kind="choice", use="writing", choices=("zstd", "xz", "none")),
    "compression-level": Parameter(kind="integer", use="writing", low=-1, high=22),
    "parallel-compression": Parameter(kind="boolean", use="writing"),
    "write-nar-listing": Parameter(kind="boolean", use="writing"),
    "index-debug-info": Parameter(kind="boolean", use="unused"),
}
_HTTP: Final = {
    **_BINARY_CACHE,
    "narinfo-compression": _NO_COMPRESSION,
    "ls-compression": _NO_COMPRESSION,
    "log-compression": _NO_COMPRESSION,
    "tls-certificate": Parameter(kind="path", use="connecting"),  # for Nix; our own requests show none
    "tls-private-key": Parameter(kind="path", use="connecting"),
}
_S3: Final = {
    **_BINARY_CACHE,
    "region": Parameter(kind="word", use="connecting"),
    "endpoint": Parameter(kind="endpoint", use="connecting"),
    "scheme": Parameter(kind="choice", use="connecting", choices=("https", "http")),
    "profile": Parameter(kind="text", use="connecting"),
    "addressing-style": Parameter(kind="choice", use="connecting", choices=("auto", "path", "virtual")),
    "narinfo-compression": _NO_COMPRESSION,
    "ls-compression": _NO_COMPRESSION,
    "log-compression": _NO_COMPRESSION,
    "multipart-upload": Parameter(kind="boolean", use="writing"),
    "multipart-chunk-size": Parameter(kind="size", use="writing"),
    "multipart-threshold": Parameter(kind="size", use="writing"),
    "buffer-size": Parameter(kind="size", use="writing"),
    "storage-class": Parameter(kind="word", use="unused"),
}
_GOOGLE: Final = {**_BINARY_CACHE, "scheme": _S3["scheme"]}
_AZURE: Final = {
    **_GOOGLE,
    "account": Parameter(kind="word", use="connecting"),
    "endpoint": Parameter(kind="endpoint", use="connecting"),
}
_SSH: Final = {
    **_STORE,
    "compress": Parameter(kind="boolean", use="connecting"),
    "max-connections": Parameter(kind="integer", use="connecting", low=1),
    "ssh-key": Parameter(kind="path", use="connecting"),
}
_OBJECTS: Final = "nix_autocache.caches.objects.open_objects"
_OVER_HTTP: Final = "nix_autocache.caches.http.open_http"
_COPIED: Final = "nix_autocache.caches.nix_copy.open_copied"

SCHEMES: Final[Mapping[str, Scheme]] = MappingProxyType(
    {
        row.name: row
        for row in (
            Scheme(name="file", opener=_OBJECTS, parameters=_BINARY_CACHE, has_authority=False),
            Scheme(name="http", opener=_OVER_HTTP, parameters=_HTTP, login_is_secret=True, path_is_encoded=True),
            Scheme(name="https", opener=_OVER_HTTP, parameters=_HTTP, login_is_secret=True, path_is_encoded=True),
            Scheme(
                name="s3",
                opener=_OBJECTS,
                parameters=_S3,
                needs_credentials=True,
                variables=("AWS_",),
                secret_files=("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"),
                token_files=("AWS_WEB_IDENTITY_TOKEN_FILE",),
                cloud="aws",
                credentials=("AWS_ACCESS_KEY_ID", "AWS_SHARED_CREDENTIALS_FILE"),
            ),
            Scheme(
                name="gs",
                opener=_OBJECTS,
                parameters=_GOOGLE,
                read_by_nix=False,
                needs_credentials=True,
                variables=("GOOGLE_",),
                secret_files=("GOOGLE_APPLICATION_CREDENTIALS",),
                cloud="google",
                credentials=("GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_APPLICATION_CREDENTIALS"),
            ),
            Scheme(
                name="az",
                opener=_OBJECTS,
                parameters=_AZURE,
                read_by_nix=False,
                needs_credentials=True,
                variables=("AZURE_",),
                token_files=("AZURE_FEDERATED_TOKEN_FILE",),
                cloud="azure",
                credentials=("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_KEY"),
            ),
            *(
                Scheme(
                    name=name,
                    opener=_COPIED,
                    parameters=_SSH,
                    any_parameters=True,
                    path_is_encoded=True,
                    any_user=False,
                )
                for name in ("ssh", "ssh-ng")
            ),
        )
    }
)
OTHER: Final = Scheme(
    name="",
    opener=_COPIED,
    parameters=_STORE,
    any_parameters=True,
    has_authority=False,
    path_is_encoded=True,
    any_user=False,
)

# Names of variables that may carry credentials of any scheme, and of the files that such variables name.
CREDENTIALS: Final = tuple(sorted({prefix for row in SCHEMES.values() for prefix in row.variables}))
TOKEN_FILES: Final = tuple(sorted({name for row in SCHEMES.values() for name in row.token_files}))
SECRET_FILES: Final = tuple(sorted({name for row in SCHEMES.values() for name in row.secret_files}))


def scheme(name: str) -> Scheme:
    """The row of a scheme by its name in lower case."""
    return SCHEMES.get(name, OTHER)
