"""Parameters of store URLs, as Nix knows them. Source: the headers of libstore in Nix 2.3 to 2.35."""

from __future__ import annotations

from typing import Final

from .scheme import Parameter

_BOOLEAN_OF_READERS: Final = Parameter(kind="boolean", use="reading")
_NO_COMPRESSION: Final = Parameter(kind="word", use="writing")  # of narinfos and listings, which we do not compress

STORE: Final = {
    "priority": Parameter(kind="integer", use="reading"),
    "trusted": _BOOLEAN_OF_READERS,
    "want-mass-query": _BOOLEAN_OF_READERS,
    "system-features": Parameter(kind="text", use="reading"),
    "path-info-cache-size": Parameter(kind="size", use="reading"),
}
BINARY_CACHE: Final = {
    **STORE,
    "local-nar-cache": Parameter(kind="path", use="reading"),
    "compression": Parameter(kind="choice", use="writing", choices=("zstd", "xz", "none")),
    "compression-level": Parameter(kind="integer", use="writing", low=-1, high=22),
    "parallel-compression": Parameter(kind="boolean", use="writing"),
    "write-nar-listing": Parameter(kind="boolean", use="writing"),
    "index-debug-info": Parameter(kind="boolean", use="unused"),
}
HTTP: Final = {
    **BINARY_CACHE,
    "narinfo-compression": _NO_COMPRESSION,
    "ls-compression": _NO_COMPRESSION,
    "log-compression": _NO_COMPRESSION,
    "tls-certificate": Parameter(kind="path", use="connecting"),  # for Nix; our own requests do not use it
    "tls-private-key": Parameter(kind="path", use="connecting"),
}
S3: Final = {
    **BINARY_CACHE,
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
GOOGLE: Final = {**BINARY_CACHE, "scheme": S3["scheme"]}
AZURE: Final = {
    **GOOGLE,
    "account": Parameter(kind="word", use="connecting"),
    "endpoint": Parameter(kind="endpoint", use="connecting"),
}
ACTIONS: Final = {name: BINARY_CACHE[name] for name in ("priority", "compression", "compression-level")}
SSH: Final = {
    **STORE,
    "compress": Parameter(kind="boolean", use="connecting"),
    "max-connections": Parameter(kind="integer", use="connecting", low=1),
    "ssh-key": Parameter(kind="path", use="connecting"),
}
