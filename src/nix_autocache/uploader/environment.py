"""The environment variables that an upload needs, and which of them are secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ..nix.secret_lines import holds_secret
from ..schemes.scheme import Scheme
from ..schemes.table import credential_prefixes

# Under act, and of some servers, the address of a job's own cache is all that its clients need.
_SECRET: Final = re.compile("SECRET|TOKEN$|PASSWORD|_KEY$|SAS|^ACTIONS_CACHE_URL$")
_ADDRESS: Final = re.compile("_ENDPOINT(_URL)?(_|$)")  # no secret, although AWS_ENDPOINT_URL_SECRETS_MANAGER looks so
_NETWORK: Final = frozenset(
    {"SSL_CERT_FILE", "NIX_SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "HOME"}
)


def is_secret(name: str, value: str) -> bool:
    """True for a variable with a secret's name, or with a password in its value, as that of a proxy."""
    named = _SECRET.search(name) and not _ADDRESS.search(name)
    return bool(value) and bool(named or holds_secret(value))


def relevant_environment(environ: Mapping[str, str], row: Scheme) -> dict[str, str]:
    """The variables that a cache of this scheme may need: cloud credentials, certificates, proxies.

    Those of the CI host's own cache are for that alone. Empty ones are left out: CI hosts set a variable to nothing for
    a secret that does not exist.
    """
    prefixes = credential_prefixes(row)
    named = {name: value for name, value in environ.items() if name.startswith(prefixes) or _is_of_network(name)}
    return {name: value for name, value in named.items() if value}


def public_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that may be in a process's environment, where other processes can read them."""
    return {name: value for name, value in environ.items() if _is_of_network(name)}


def _is_of_network(name: str) -> bool:
    return name.upper() in _NETWORK
