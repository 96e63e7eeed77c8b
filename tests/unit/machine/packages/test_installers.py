"""pip and uv get the index, the proxy and the certificates that were set, and nothing else."""

import sys
import tomllib
from pathlib import Path

import pytest

from nix_autocache.machine.packages import installers

NETWORK = {"HTTPS_PROXY": "http://proxy:1", "no_proxy": "here", "NETRC": "/netrc", "SSL_CERT_DIR": "/certificates"}


def pip(tmp_path: Path, environ: dict[str, str]) -> dict[str, str]:
    """The variables that pip gets."""
    (command,) = installers.found(tmp_path, tmp_path / "target", [], {"PATH": "/nonexistent", **environ})
    return {name: value for name, value in command.environ.items() if name != "PATH"}


def test_of_pips_settings_those_of_the_network_are_kept(tmp_path: Path) -> None:
    (tmp_path / "bundle").touch()
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nuser = true\nproxy = http://global:1\ncert = /global\n[install]\ncert = /install\n")
    environ = {**NETWORK, "PIP_CONFIG_FILE": str(config), "PIP_USER": "1", "PIP_INDEX_URL": "https://index/simple"}
    given = pip(tmp_path, {**environ, "PYTHONPATH": "/elsewhere", "HOME": str(tmp_path), "XDG_CONFIG_DIRS": "/none"})
    assert given.items() >= {**NETWORK, "PIP_INDEX_URL": "https://index/simple", "PIP_CONFIG_FILE": "/dev/null"}.items()
    assert (given["PIP_PROXY"], given["PIP_CERT"]) == ("http://global:1", "/install")
    assert not given.keys() & {"PIP_USER", "PYTHONPATH"}


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "NIX_SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_of_certificates_by_any_of_its_names_is_pips_and_uvs(tmp_path: Path, name: str) -> None:
    bundle = tmp_path / "bundle"
    bundle.touch()
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.touch(mode=0o755)
    environ = {name: str(bundle), "HOME": str(tmp_path), "PATH": str(uv.parent), "PIP_CONFIG_FILE": "/dev/null"}
    first, second = installers.found(tmp_path, tmp_path / "target", [], environ)
    assert first.words[0] == str(uv), "what only this user can have put on PATH is used"
    assert first.environ["SSL_CERT_FILE"] == second.environ["PIP_CERT"] == str(bundle)


def test_of_uvs_files_those_of_the_network_are_kept(tmp_path: Path) -> None:
    uv, config = tmp_path / "bin" / "uv", tmp_path / "home" / "uv" / "uv.toml"
    for path in (uv, config):
        path.parent.mkdir(parents=True)
    uv.touch(mode=0o755)
    config.write_text(
        'exclude-newer = "2001-01-01"\nnative-tls = true\n[[index]]\nurl = "https://a/\\"b\\""\ndefault = true\n'
        '[pip]\ntarget = "/x"\nfind-links = ["/wheels", "/é"]\n'
    )
    environ = {
        "PATH": str(uv.parent),
        "XDG_CONFIG_HOME": str(tmp_path / "home"),
        "UV_TARGET": "/x",
        "UV_INDEX_A_PASSWORD": "p",
    }
    command = next(installers.found(tmp_path, tmp_path / "target", [], environ))
    read = tomllib.loads((tmp_path / "uv.toml").read_text())
    assert read == {
        "native-tls": True,
        "index": [{"url": 'https://a/"b"', "default": True}],
        "find-links": ["/wheels", "/é"],
    }
    assert "UV_TARGET" not in command.environ
    assert command.environ["UV_INDEX_A_PASSWORD"] == "p"


def test_a_uv_that_another_user_could_have_put_on_path_is_not_run(tmp_path: Path) -> None:
    uv = tmp_path / "open" / "uv"
    uv.parent.mkdir()
    uv.touch(mode=0o755)
    uv.parent.chmod(0o777)
    environ = {"PATH": str(uv.parent), "HOME": str(tmp_path)}
    (command,) = installers.found(tmp_path, tmp_path / "target", [], environ)
    assert command.words[0] == sys.executable
