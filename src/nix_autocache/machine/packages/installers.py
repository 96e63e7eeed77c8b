"""pip and uv, with the index, the proxy and the certificates that the user or the system set, and no other setting.

Each runs in `/` with a fresh cache, so that neither the checkout nor an earlier job influences it. A setting such as
PIP_USER, or a constraint, is for other installations than ours. Variables for proxies and certificates that are not
pip's or uv's own are passed on unchanged.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...errors import RunnerError
from ...system import files, process
from ...system.dataclass import dataclass
from .environment import trusted_users

_COMMON: Final = ("--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:")
_INDEX: Final = ("index-url", "extra-index-url", "find-links", "no-index", "keyring-provider")
_OF_PIP: Final = frozenset(
    {*_INDEX, "proxy", "cert", "client-cert", "trusted-host", "default-timeout", "timeout", "retries"}
)
_PIP_VARIABLES: Final = {"PIP_CONFIG_FILE", *(f"PIP_{name.upper().replace('-', '_')}" for name in _OF_PIP)}
_OF_UV: Final = frozenset({*_INDEX, "index", "index-strategy", "offline", "native-tls", "system-certs"}) | {
    "allow-insecure-host", "http-proxy", "https-proxy", "no-proxy",
}  # fmt: skip
_UV_VARIABLES: Final = frozenset(
    f"UV_{name}"
    for name in ("DEFAULT_INDEX", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "KEYRING_PROVIDER", "CREDENTIALS_DIR")
) | {"UV_INSECURE_HOST", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_OFFLINE", "UV_REQUEST_TIMEOUT"}
_UV_PREFIXES: Final = ("UV_INDEX", "UV_HTTP_")  # UV_INDEX_…_PASSWORD among them
_BUNDLES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_CERTIFICATES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "NIX_SSL_CERT_FILE")


@dataclass(frozen=True)
class Command:
    """What to start. `wheels` is the directory where it puts wheels, None if it installs them itself."""

    words: Sequence[str]
    environ: Mapping[str, str]
    wheels: Path | None


def found(scratch: Path, target: Path, locks: Sequence[Path], environ: Mapping[str, str]) -> Iterator[Command]:
    """The installers of this machine, the faster first. `scratch` is an empty directory for their files.

    Raises RunnerError if there is none.
    """
    requirements = [word for lock in locks for word in ("--requirement", str(lock))]
    if uv := _uv(environ):
        settings = scratch / "uv.toml"
        files.write(settings, _uv_settings(environ), 0o600)
        words = [uv, "pip", "install", *_COMMON, "--no-cache", "--config-file", str(settings), "--link-mode", "copy"]
        words += ["--python", sys.executable, "--compile-bytecode", "--target", str(target), *requirements]
        yield Command(words, _uv_environment(environ), None)
    if (pip := _pip(environ)) is not None:
        wheels = scratch / "wheels"
        words = [*_pip_words("download"), *_COMMON, "--no-cache-dir", "--no-input", "--dest", str(wheels)]
        yield Command([*words, *requirements], pip, wheels)
    elif not uv:
        raise RunnerError(f"neither uv nor pip is there for {sys.executable}; install python3-pip, or uv")


def _pip_words(verb: str) -> list[str]:
    return [sys.executable, "-BP", "-m", "pip", verb]  # -B: Python may be in Nix's store, whose files must not change


def _pip(environ: Mapping[str, str]) -> dict[str, str] | None:
    """pip's environment, with those of its settings that we keep; None if there is no pip."""
    plain = _without(environ, ("PYTHON", "PIP_"))
    named = {name: value for name, value in environ.items() if name in _PIP_VARIABLES}
    listed = _pip_list(plain | named)
    if listed.status and (bundled := _bundled_pip()):
        plain["PYTHONPATH"] = str(bundled)
        listed = _pip_list(plain | named)
    if listed.status:
        return None
    kept = dict(_pip_settings(listed.output.splitlines()))
    variables = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in kept.items()}
    if "cert" not in kept and (bundle := _certificates(environ)):
        variables["PIP_CERT"] = bundle
    ours = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return {**plain, **variables, **ours}


def _pip_list(environ: Mapping[str, str]) -> process.Finished:
    return process.run([*_pip_words("config"), "list", "--disable-pip-version-check"], environ=environ)


def _bundled_pip() -> Path | None:
    """The wheel of pip that a Python has for its virtual environments, as that of nixpkgs, which has no other pip.

    A wheel of pip can be imported from as it is, which is how `ensurepip` runs it.
    """
    named = sysconfig.get_config_var("WHEEL_PKG_DIR")
    directories = [*([Path(named)] if named else []), Path(sysconfig.get_path("stdlib"), "ensurepip/_bundled")]
    return next((wheel for directory in directories for wheel in directory.glob("pip-*-py3-none-any.whl")), None)


def _pip_settings(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """What we keep of `pip config list`, whose lines are like `global.cert='/a'`. Later settings override earlier."""
    for section in ("global", "install", "download", ":env:"):
        for line in lines:
            name, equals, value = line.partition("=")
            where, _, key = name.strip().rpartition(".")
            if equals and where == section and key in _OF_PIP and (text := str(ast.literal_eval(value))):
                yield key, text


def _uv(environ: Mapping[str, str]) -> str | None:
    """The path of uv, if nobody else could have put it there."""
    program = shutil.which("uv", path=environ.get("PATH", os.defpath))
    if program is None or not files.is_only_of(Path(os.path.abspath(program)), trusted_users()):
        return None
    return program


def _uv_environment(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in environ.items()
        if name in _UV_VARIABLES or name.startswith(_UV_PREFIXES) or not name.startswith(("UV_", "PYTHON"))
    }
    if bundle := _certificates(environ):
        kept.setdefault("SSL_CERT_FILE", bundle)
    return kept


def _uv_settings(environ: Mapping[str, str]) -> str:
    """What we keep of uv's own files, as TOML: the system's, then the user's."""
    import tomllib

    kept: dict[str, Any] = {}
    for path in _uv_files(environ):
        try:
            read = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            continue
        both = {**read, **(read["pip"] if isinstance(read.get("pip"), dict) else {})}
        kept.update((name, value) for name, value in both.items() if name in _OF_UV)
    return "".join(f"{name} = {_toml(value)}\n" for name, value in kept.items())


def _uv_files(environ: Mapping[str, str]) -> list[Path]:
    if environ.get("UV_NO_CONFIG"):
        return []
    if named := environ.get("UV_CONFIG_FILE"):
        return [Path(named)]
    system = [Path(each, "uv/uv.toml") for each in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if each]
    home = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '/nonexistent')}/.config"
    every = [Path("/etc/uv/uv.toml"), *reversed(system), Path(home, "uv/uv.toml")]
    return [path for path in every if path.is_absolute() and files.is_only_of(path, trusted_users())]


def _toml(value: Any) -> str:
    """Text, numbers, lists and tables. A JSON string is a TOML string."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_toml(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def _certificates(environ: Mapping[str, str]) -> str | None:
    """The bundle of certificates that the user, or else the system, trusts."""
    named = [environ[name] for name in _CERTIFICATES if environ.get(name)]
    system = () if environ.get("SSL_CERT_DIR") else _BUNDLES
    return next((path for path in [*named, *system] if os.path.exists(path)), None)


def _without(environ: Mapping[str, str], prefixes: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith(prefixes)}
