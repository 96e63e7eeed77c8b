"""What makes a release: one version everywhere, and the component that installs its own commit."""

import subprocess
from pathlib import Path

import pytest
import yaml
from tools import component
from tools.reference import EXAMPLES

from nix_autocache import __version__
from nix_autocache.ci.gitlab import GitLab
from nix_autocache.job import preflight
from nix_autocache.job.context import Context
from nix_autocache.settings import read
from tests.harness import tools

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TEMPLATE = tools.PROJECT / "templates/nix-autocache/template.yml"


def test_the_released_component_installs_the_commit_and_is_otherwise_the_same() -> None:
    template = TEMPLATE.read_text(encoding="utf-8")
    text = component.released(template, COMMIT)
    before, after = (next(yaml.safe_load_all(each))["spec"]["inputs"] for each in (template, text))
    assert after["install"]["default"] == f"git+{component.REPOSITORY}@{COMMIT}"
    assert {name for name in before if before[name] != after[name]} == {"install"}
    assert len(set(text.splitlines()) ^ set(template.splitlines())) == 1, "a line more: the default"


@pytest.mark.parametrize("commit", ["main", COMMIT[:39], f"{COMMIT}\n"])
def test_only_a_whole_commit_is_released(commit: str) -> None:
    with pytest.raises(ValueError, match="whole commit"):
        component.released(TEMPLATE.read_text(encoding="utf-8"), commit)


def test_a_template_that_was_released_is_not_released_again() -> None:
    once = component.released(TEMPLATE.read_text(encoding="utf-8"), COMMIT)
    with pytest.raises(ValueError, match="no input `install`"):
        component.released(once, COMMIT)


def test_another_version_than_the_programs_is_not_released() -> None:
    done = subprocess.run(
        [tools.PROJECT / "tools/release_component", "0.0.1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "not of version 0.0.1" in done.stderr


@pytest.mark.parametrize(("template", "warned"), [(__version__, False), ("", False), ("9.9.9", True)])
def test_a_template_and_a_program_of_different_versions_say_so(
    template: str, *, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"HOME": "/nonexistent", "nix_autocache_template": template}
    preflight.compare_versions(Context(read({}, {}, {}), GitLab(environ), environ))
    said = capsys.readouterr().out
    assert said.count("\n") == int(warned), said
    assert (f"the template is of nix-autocache 9.9.9, and the program that it runs of {__version__}" in said) is warned


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: str(path.stem))
def test_the_examples_name_the_version_of_the_program(example: Path) -> None:
    assert f"nix-autocache@{__version__}\n" in example.read_text(encoding="utf-8")
