"""The wheel, in machines that never saw the project: installed in the ways that the README names, it does its job."""

import re
import zipfile
from pathlib import Path

import pytest

from nix_autocache import __version__
from nix_autocache.system import version
from tests.conftest import MakeMachine
from tests.harness import binary_cache, built, graphs, nix, tools, wheels
from tests.harness.machine import Bind
from tests.harness.roots import NEW, OLD, RECENT, Generation

LOCK = tools.PROJECT / "requirements/install.txt"
CACHE = {"NIX_AUTOCACHE_CACHE": "file:///srv/cache"}
PIP = "python3 -m venv /opt/own && /opt/own/bin/pip install --quiet"
UV = f"uv tool install --quiet --no-index --find-links {wheels.TARGET}"
WAYS = {
    OLD: (PIP, "/opt/own/bin/nix-autocache"),
    RECENT: (f"{PIP} pipx && /opt/own/bin/pipx install --quiet", "/root/.local/bin/nix-autocache"),
    NEW: (UV, "/root/.local/bin/nix-autocache"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return built.wheel(tmp_path_factory.mktemp("wheel"))


@pytest.mark.parametrize("generation", WAYS, ids=["pip", "pipx", "uv"])
def test_a_wheel_does_the_main_job_where_the_project_was_never_seen(
    machine: MakeMachine, tmp_path: Path, made: tuple[Path, str], generation: Generation
) -> None:
    wheel, commit = made
    install, program = WAYS[generation]
    house = wheels.wheelhouse([LOCK])
    uv = [Bind(tools.program("uv"), "/usr/local/bin/uv")] if generation is NEW else []  # pipx would use it
    one = machine(generation, [house.bind(), Bind(wheel.parent, "/index"), Bind(tmp_path, "/srv", writable=True), *uv])
    nix.without_daemon(one)
    one.sh(f"{install} /index/{wheel.name}", env=house.env())
    assert one.run([program, "--version"]).stdout == f"nix-autocache {__version__} ({commit[:12]})\n"
    env = {**CACHE, "NIX_AUTOCACHE_SIGNING_KEY": one.run([program, "keygen", "a"]).stdout}
    one.run([program, "setup"], env=env)
    nix.build(one, graphs.leaf("one"))
    assert "1 pushed" in one.run([program, "finish"], env=env).stderr
    assert binary_cache.narinfos(tmp_path / "cache").keys() == {"one"}


def test_the_readme_leads_somewhere_from_pypis_page(made: tuple[Path, str]) -> None:
    wheel, _ = made
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"nix_autocache-{__version__}.dist-info/METADATA").decode()
    assert "Description-Content-Type: text/markdown" in text
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert f"{version.HOME}/blob/main/docs/status.md" in links
    assert not [link for link in links if not link.startswith(("https://", "#"))]
