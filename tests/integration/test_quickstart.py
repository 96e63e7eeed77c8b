"""docs/quickstart.md, as a person follows it: each command at a terminal, against the services' stand-ins."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nix_autocache.cli import verbs
from tests.harness import aws, github_api, gitlab_api, gitlab_projects
from tests.harness.gitlab_api import GitLabApi
from tests.harness.tools import PROJECT

PAGE = (PROJECT / "docs/quickstart.md").read_text(encoding="utf-8")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"default.nix": "{ }"}
ADDRESSES = {
    "github": "https://github.com",
    "gitlab": "https://gitlab.com",
    "issuer": "token.actions.githubusercontent.com",
    "server": "https://s3.example.org",
}
PERSONS = ("AWS_", "GH_", "GITHUB_", "GITLAB_", "CI", "XDG_")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


@dataclass(frozen=True)
class Shown:
    """A command of the page, and the lines that it shows below."""

    command: str
    lines: Sequence[str]


def shown(section: str) -> list[Shown]:
    """The commands of a section of the page, by the first word of its heading."""
    (text,) = (part for part in PAGE.split("\n## ") if part.startswith(section))
    found = []
    for block in re.findall(r"```console\n\$ (.*?)```", text, re.DOTALL):
        command, *lines = block.splitlines()
        found.append(Shown(command, [line for line in lines if not line.startswith("Carry it out?")]))
    return found


@dataclass(frozen=True)
class Person:
    """Somebody at a terminal, in a checkout."""

    checkout: Path
    host: str
    environ: Mapping[str, str]

    def types(self, command: str) -> str:
        """What the command printed, answered with yes. Its name and the stand-in's host are added to it."""
        name, verb, *words = [word.strip("'") for word in command.split()]
        assert (name, verb) == ("nix-autocache", "init")
        words = [sys.executable, "-m", "nix_autocache", "init", *words, "--host", self.host, "--action-ref", COMMIT]
        mine = {key: value for key, value in os.environ.items() if not key.startswith(PERSONS)}
        main, terminal = pty.openpty()
        with subprocess.Popen(
            words, cwd=self.checkout, env={**mine, **self.environ}, stdin=terminal, stdout=terminal, stderr=terminal
        ) as popen:
            os.close(terminal)
            os.write(main, b"y\n")
            text = "".join(read(main))
        os.close(main)
        assert popen.returncode == 0, text
        return CONTROL.sub("", text)


def read(terminal: int) -> Iterator[str]:
    """All that is written to a terminal, until nobody has it open."""
    try:
        while data := os.read(terminal, 65536):
            yield data.decode()
    except OSError:  # Linux says so
        return


def person(directory: Path, host: str, url: str, **environ: str) -> Person:
    """In a checkout of the repository on this server."""
    subprocess.run(["git", "init", "-q", str(directory)], check=True)
    subprocess.run(["git", "-C", str(directory), "config", "remote.origin.url", f"{url}/acme/project.git"], check=True)
    return Person(directory, host, {"HOME": str(directory), **environ})


def assert_shown(said: str, page: Shown, **stand_ins: str) -> None:
    """Every line of the page is in the output, where addresses are those of the stand-ins."""
    printed = [line.split() for line in said.splitlines()]
    for line in page.lines:
        for name, address in stand_ins.items():
            line = line.replace(ADDRESSES[name], address)
        assert line.split() in printed, said


def test_github_with_nothing_else(tmp_path: Path) -> None:
    (way,) = shown("1.")
    with github_api.in_thread(FILES) as github:
        somebody = person(tmp_path, "github", github.url, GH_ENTERPRISE_TOKEN=github_api.TOKEN)
        planned = somebody.types("nix-autocache init --dry-run")
        assert f"uses: nix-autocache/nix-autocache@{COMMIT}" in planned
        assert not github.writes
        assert_shown(somebody.types(way.command), way, github=github.url)
        assert "everything is as it should be" in somebody.types(way.command)


def test_a_bucket(tmp_path: Path) -> None:
    """In AWS, with a rotation, and what `--undo` leaves; then at another server."""
    in_aws, other = shown("2.")
    mine = {"AWS_ACCESS_KEY_ID": "AKIAPERSON", "AWS_SECRET_ACCESS_KEY": "of-a-person"}
    with github_api.in_thread(FILES) as github, aws.in_thread() as account:
        env = {"GH_ENTERPRISE_TOKEN": github_api.TOKEN, **mine}
        somebody = person(tmp_path, "github", github.url, **env, AWS_ENDPOINT_URL=account.url)
        issuer = f"{github.url.removeprefix('http://')}/_services/token"
        before = github.state()[:3]
        assert_shown(somebody.types(in_aws.command), in_aws, issuer=issuer)
        assert "stays trusted" in somebody.types(f"{in_aws.command} --rotate-key")
        somebody.types(f"{in_aws.command} --undo")
        assert github.state()[:3] == before
        command = other.command.replace(ADDRESSES["server"], account.url)
        assert_shown(replace(somebody, environ={"HOME": str(tmp_path), **env}).types(command), other)


def test_gitlab(tmp_path: Path) -> None:
    (way,) = shown("3.")
    with gitlab_api.serving(GitLabApi(branches={"main": dict(FILES)})) as gitlab:
        somebody = person(tmp_path, "gitlab", gitlab.url, **gitlab_projects.token(gitlab))
        assert_shown(somebody.types(way.command), way, gitlab=gitlab.url)


def test_every_command_of_the_table_is_one() -> None:
    for command in re.findall(r"`nix-autocache (.*?)`", PAGE.partition("## Afterwards")[2]):
        assert verbs.parse(command.split()).verb in {"init", "check"}
