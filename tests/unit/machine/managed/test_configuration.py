"""The configuration of a provisioned machine: what is taken, and what is refused in one line."""

from pathlib import Path

import pytest

from nix_autocache.errors import InputError
from nix_autocache.machine.managed.configuration import load

GOOD = """
cache = "s3://bucket?region=eu-west-1"
signing-key = "file:/etc/key"
public-keys = ["cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="]
compression-level = 9
extra-nix-conf = '''
max-jobs = 4
cores = 2
'''
[environment]
AWS_SHARED_CREDENTIALS_FILE = "/etc/aws"
AWS_REGION = "eu-west-1"
"""


def test_the_names_are_those_of_the_inputs(tmp_path: Path) -> None:
    (tmp_path / "toml").write_text(GOOD)
    told = load(tmp_path / "toml")
    assert told.settings.compression_level == 9
    assert told.settings.extra_nix_conf.splitlines() == ["max-jobs = 4", "cores = 2"]
    assert told.settings.public_keys[0].name == "cache.nixos.org-1"
    assert sorted(told.secrets) == ["AWS_SHARED_CREDENTIALS_FILE", "configuration", "signing-key"]
    given = told.given_as_credentials(Path("/run/c"))
    assert str(given.settings.signing_key) == "file:/run/c/signing-key"
    assert given.environ == {
        "AWS_SHARED_CREDENTIALS_FILE": "/run/c/AWS_SHARED_CREDENTIALS_FILE",
        "AWS_REGION": "eu-west-1",
    }


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('cahce = "file:///cache"', "unknown input cahce; did you mean cache?"),
        ('push = "always"', "push: only a job can set this"),
        ('signing-key = "env:KEY"', "has no environment"),
        ("exclude = 1.5", "exclude: 1.5 is not a text"),
        ("exclude = ", "Invalid value"),
        ('flush-timeout = "1"', "flush-timeout: only a job can set this"),
        ('[environment]\nLD_PRELOAD = "/evil.so"', "LD_PRELOAD is no variable of AWS"),
        ('cache = ""', "cache and signing-key must be given"),
        ('cache = "file:///srv/{week}"', "which the service cannot make"),
        ('compression = "brotli"', "compression: 'brotli' is not one of"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_file(tmp_path: Path, line: str, says: str) -> None:
    name = line.partition(" ")[0]
    rest = [other for other in ('cache = "file:///c"', 'signing-key = "file:/k"') if not other.startswith(f"{name} ")]
    (tmp_path / "toml").write_text("\n".join([*rest, line]))
    with pytest.raises(InputError) as caught:
        load(tmp_path / "toml")
    assert str(caught.value).startswith("/etc/nix-autocache.toml: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
