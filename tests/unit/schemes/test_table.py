"""One row for each scheme: whatever is known of it is there, and each consumer takes it from there."""

import ast
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import get_args

import pytest

from nix_autocache.caches.opening import open_cache, open_early
from nix_autocache.caches.protocol import Access
from nix_autocache.ci.gitlab import GitLab
from nix_autocache.errors import InputError, StoreError
from nix_autocache.job import exposures
from nix_autocache.job.context import Context
from nix_autocache.machine.managed import configuration
from nix_autocache.machine.packages import locked
from nix_autocache.nix import keys
from nix_autocache.nix.key_source import KeySource
from nix_autocache.nix.store import Nix, parse_store_path
from nix_autocache.nix.store_client import StoreClient
from nix_autocache.nix.store_url import CacheUrl, parse_cache_url
from nix_autocache.schemes import table
from nix_autocache.schemes.parameters import BINARY_CACHE
from nix_autocache.schemes.scheme import Cloud, Credentials, Scheme, SecretFile
from nix_autocache.settings import forget_empty_credentials, read
from nix_autocache.system.dataclass import MISSING, fields
from nix_autocache.trust import metadata
from nix_autocache.uploader.environment import relevant_environment
from nix_autocache.uploader.secrets import SecretSources

PACKAGE = Path(__file__).parents[3] / "src" / "nix_autocache"
KEY = str(keys.generate("cache-1"))


class Tape:
    def __init__(self, url: CacheUrl, count: int = 0) -> None:
        self.url, self.count = url, count


def open_tape(url: CacheUrl, _: Access) -> Tape:
    return Tape(url)


def open_tape_early(url: CacheUrl, _: Mapping[str, str], count: int) -> Tape:
    return Tape(url, count)


MADE_UP = Scheme(
    name="tape",
    opener=f"{__name__}.{open_tape.__name__}",
    early_opener=f"{__name__}.{open_tape_early.__name__}",
    parameters={"reel": BINARY_CACHE["priority"]},
    address="bucket",
    read_by_nix=False,
    read_by_proxy=True,
    other_user_can_push=True,
    credentials=Credentials(
        provider="the tape library",
        cloud="azure",
        variables=("TAPE_",),
        sufficient=("TAPE_BADGE",),
        complete=(),
        secret_files=(
            SecretFile(variable="TAPE_FILE", text_variable="TAPE_TEXT", value_variables=(), program_key="robot"),
            SecretFile(variable="TAPE_INI", text_variable="", value_variables=("TAPE_PASSWORD",), program_key=""),
        ),
        token_files=("TAPE_TOKEN_FILE",),
        home_files=(".tape",),
        profile="TAPE_PROFILE",
        of_host=False,
    ),
)


@pytest.fixture(autouse=True)
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "SCHEMES", MappingProxyType({**table.SCHEMES, MADE_UP.name: MADE_UP}))


def context(**environ: str) -> Context:
    settings = read({"cache": "tape://library?reel=3", "signing-key": KEY}, {}, {})
    return Context(settings, GitLab(environ), environ)


def test_a_url_is_parsed_by_its_row() -> None:
    url = parse_cache_url("tape://library/shelf?reel=3")
    assert url.row is MADE_UP
    assert not url.is_read_by_nix
    assert url.wants_reader
    assert url.directory is None
    assert url.reading_query == "?reel=3"
    for wrong, says in {
        "tape://": "names no host or bucket",
        "tape://me@library": "a bucket's name alone",
        "tape://library?reel=x": "reel=x is not a whole number",
        "tape://library?reels=3": "did you mean reel",
    }.items():
        with pytest.raises(InputError, match=says):
            parse_cache_url(wrong)


def test_a_cache_is_opened_by_the_function_in_its_row() -> None:
    url = parse_cache_url("tape://library")
    opened, early = open_cache(url, Access({}, Nix(Path("/")), None)), open_early(url, {}, 7)
    assert isinstance(opened, Tape)
    assert isinstance(early, Tape)
    assert early.count == 7


def test_the_variables_of_a_row_reach_the_uploader_and_no_other_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"TAPE_BADGE": "b", "TAPE_EMPTY": "", "OTHER": "o"}
    assert relevant_environment(environ, MADE_UP) == {"TAPE_BADGE": "b"}
    forget_empty_credentials(environ)
    assert environ == {"TAPE_BADGE": "b", "OTHER": "o"}
    monkeypatch.setenv("TAPE_BADGE", "b")
    monkeypatch.setenv("REEL", "r")
    program = tmp_path / "nix-daemon"
    program.write_text(f"#!/bin/sh\nenv >{tmp_path}/environment\n")
    program.chmod(0o755)
    with StoreClient(Nix(tmp_path)) as store, suppress(StoreError):
        store.path_infos([parse_store_path("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-a", "/nix/store")])
    given = (tmp_path / "environment").read_text()
    assert "REEL=r" in given
    assert "TAPE_BADGE" not in given


def test_secrets_of_a_row_are_named_and_handed_over(tmp_path: Path) -> None:
    text, ini, token = tmp_path / "text", tmp_path / "ini", tmp_path / "token"
    text.write_text("all of it")
    ini.write_text("[night]\ntape_password = p\n")
    token.write_text("t")
    environ = {"TAPE_FILE": str(text), "TAPE_INI": str(ini), "TAPE_TOKEN_FILE": str(token), "TAPE_PROFILE": "night"}
    url, key = parse_cache_url("tape://library"), KeySource.parse(KEY)
    assert SecretSources(url, key, {"TAPE_PASSWORD": "p"}).as_text() == ["signing-key", "TAPE_PASSWORD"]
    sources = SecretSources(url, key, environ)
    assert [way for way in sources.files_that_stay() if "which TAPE_TOKEN_FILE names" in way]
    taken = sources.read(and_remove_files=True)
    assert taken.environ == {"TAPE_TEXT": "all of it", "TAPE_PASSWORD": "p", "TAPE_TOKEN_FILE": str(token)}
    assert not text.exists()
    assert not ini.exists()


def test_the_services_of_a_rows_cloud_are_asked_unless_a_variable_is_enough() -> None:
    url = parse_cache_url("tape://library")
    assert metadata.clouds(url, KeySource.parse(KEY), {}) == ("azure",)
    assert metadata.clouds(url, KeySource.parse(KEY), {"TAPE_BADGE": "b"}) == ()
    assert metadata.clouds(url, KeySource.parse("aws-ssm:key"), {}) == ("azure", "aws")


def test_a_job_without_the_credentials_of_a_row_is_only_tried_out(tmp_path: Path) -> None:
    def is_tried_out(**environ: str) -> bool:
        job = context(HOME=str(tmp_path), GITLAB_CI="false", **environ)
        return job.is_dry_run(job.destination())

    assert is_tried_out()
    assert not is_tried_out(TAPE_KEY="k")
    (tmp_path / ".tape").touch()
    assert not is_tried_out()


def test_a_machine_may_have_the_variables_and_files_of_a_row(tmp_path: Path) -> None:
    file = tmp_path / "managed.toml"
    secret = tmp_path / "secret"
    secret.write_text("robot = /usr/bin/arm --fast\nother = /usr/bin/no\n")
    begin = f'cache = "tape://library"\nsigning-key = "{KEY}"\n[environment]\n'
    file.write_text(f'{begin}TAPE_FILE = "{secret}"\n')
    told = configuration.load(file)
    assert told.secrets["TAPE_FILE"] == secret
    assert told.helpers() == ("/usr/bin/arm",)
    file.write_text(f'{begin}CASSETTE = "x"\n')
    with pytest.raises(InputError, match=r"CASSETTE is no variable of .*the tape library"):
        configuration.load(file)


def test_only_aws_needs_boto3() -> None:
    assert not locked.needs_boto3(context().settings, {})
    assert locked.needs_boto3(read({"cache": "s3://b", "signing-key": KEY}, {}, {}), {})


def test_only_a_scheme_that_says_so_can_be_pushed_to_by_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that does not mention it makes no job sealed."""
    assert exposures.another_user_can_upload(context().destination())
    required = {each.name: getattr(MADE_UP, each.name) for each in fields(Scheme) if each.default is MISSING}
    monkeypatch.setattr(table, "SCHEMES", {MADE_UP.name: Scheme(**required)})
    assert not exposures.another_user_can_upload(context().destination())


def test_nothing_of_the_credentials_may_be_forgotten() -> None:
    assert {each.default for kind in (Credentials, SecretFile) for each in fields(kind)} == {MISSING}


def test_every_cloud_of_a_row_has_services_to_ask() -> None:
    assert set(metadata.SERVICES) == set(get_args(Cloud))


# `http` and `https` are also how caches of other schemes and other servers are reached, `file` is where a key may be,
# and `s3` is what boto3 calls the service. GitHub's answers call a file in a folder `file`.
OF_OTHER_THINGS = {
    "http": {"system/net.py", "caches/obstore_client.py", "onboarding/hosts.py", "onboarding/github/repository.py"},
    "https": {
        "system/net.py",
        "caches/s3.py",
        "caches/http_servers.py",
        "onboarding/hosts.py",
        "onboarding/aws/account.py",
    },
    "s3": {"onboarding/aws/account.py", "onboarding/aws/service.py", "onboarding/aws/setting.py"},
    "file": {"nix/key_source.py", "nix/key_text.py", "onboarding/github/repository.py"},
}


def test_no_scheme_is_named_outside_its_row_and_its_backend() -> None:
    found = []
    for path in PACKAGE.rglob("*.py"):
        name = str(path.relative_to(PACKAGE))
        if name.startswith("schemes/"):
            continue
        dotted = f"nix_autocache.{name.removesuffix('.py').replace('/', '.')}"
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in table.SCHEMES:
                is_backend = table.SCHEMES[node.value].opener.startswith(f"{dotted}.")
                if not is_backend and name not in OF_OTHER_THINGS.get(node.value, ()):
                    found.append(f"{name}:{node.lineno}: {node.value!r}")
    assert found == []
