"""HTTP basics: variables for proxies and certificates, TLS, and Retry-After."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_NETWORK: Final = ("PROXY", "SSL_CERT_FILE", "CA_BUNDLE")


def network_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables for proxies and certificates."""
    return {name: value for name, value in environ.items() if name.upper().endswith(_NETWORK)}


def seconds_to_wait(header: str | None) -> float:
    """Seconds from now that a Retry-After header asks for: a number or a date (RFC 9110, 10.2.3); 0 without one."""
    if not header:
        return 0.0
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0


def tls_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """A context that trusts the certificates that this environment names."""
    import ssl

    return ssl.create_default_context(cafile=environ.get("NIX_SSL_CERT_FILE") or environ.get("SSL_CERT_FILE") or None)
