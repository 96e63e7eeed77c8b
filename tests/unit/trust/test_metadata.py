"""The services that clouds have for their machines: asked only where the uploader would ask them, and told of."""

import socket
from pathlib import Path

import pytest

from nix_autocache.nix.key_source import KeySource
from nix_autocache.nix.store_url import parse_cache_url
from nix_autocache.trust import metadata
from tests.harness.programs.metadata import SECRET, serving


@pytest.mark.parametrize(
    ("url", "key", "environ", "asked"),
    [
        ("s3://b", "name:key", {}, {"aws"}),
        ("s3://b", "name:key", {"AWS_ACCESS_KEY_ID": ""}, {"aws"}),
        ("s3://b", "name:key", {"AWS_ACCESS_KEY_ID": "x"}, set()),
        ("s3://b", "name:key", {"AWS_SHARED_CREDENTIALS_FILE": "/x"}, set()),
        ("gs://b", "name:key", {}, {"google"}),
        ("gs://b", "name:key", {"GOOGLE_APPLICATION_CREDENTIALS": "/x"}, set()),
        ("gs://b", "aws-ssm:key", {"GOOGLE_APPLICATION_CREDENTIALS": "/x"}, {"aws"}),
        ("az://b", "aws-secretsmanager:key", {}, {"aws", "azure"}),
        ("az://b", "name:key", {"AZURE_STORAGE_SAS_KEY": "x"}, set()),
        ("https://cache.example.org", "name:key", {}, set()),
        ("file:///srv/cache", "name:key", {}, set()),
    ],
)
def test_only_what_the_uploader_would_ask_is_asked(
    url: str, key: str, environ: dict[str, str], asked: set[str]
) -> None:
    assert set(metadata.clouds(parse_cache_url(url), KeySource.parse(key), environ)) == asked


@pytest.mark.parametrize(
    ("cloud", "serves", "environ", "named"),
    [
        ("aws", "aws", {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://{}/"}, "AWS's metadata service"),
        ("aws", "oldest", {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://{}"}, "AWS's metadata service"),
        (
            "aws",
            "ecs",
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://{}/v1/x", "AWS_CONTAINER_AUTHORIZATION_TOKEN": SECRET},
            "AWS's service for containers",
        ),
        ("google", "google", {"GCE_METADATA_HOST": "{}"}, "Google's metadata service"),
        (
            "azure",
            "app",
            {"IDENTITY_ENDPOINT": "http://{}/msi/token", "IDENTITY_HEADER": SECRET},
            "Azure's service for applications",
        ),
    ],
)
@pytest.mark.slow
def test_a_service_that_gives_credentials_is_named(
    cloud: str, serves: str, environ: dict[str, str], named: str
) -> None:
    with serving(serves) as address:
        given = {name: text.format(address) for name, text in environ.items()}
        assert [name.partition(" at ")[0].startswith(named) for name in metadata.answering([cloud], given)] == [True]
        assert metadata.answering([], given) == []
    assert metadata.answering([cloud], given) == []


@pytest.mark.slow
def test_a_pods_token_in_a_file_is_used(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{SECRET}\n")
    with serving("ecs") as address:
        given = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{address}/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file),
        }
        assert len(metadata.answering(["aws"], given)) == 1
        assert metadata.answering(["aws"], {**given, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/no/file"}) == []


@pytest.mark.slow
def test_a_machine_without_a_role_is_not_told_of() -> None:
    with serving("none") as address:
        assert metadata.answering(["aws"], {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{address}"}) == []


@pytest.mark.slow
def test_what_takes_connections_and_says_nothing_holds_up_no_set_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        given = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        assert metadata.answering(["aws"], given) == []
