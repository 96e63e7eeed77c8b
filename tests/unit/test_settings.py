"""Inputs: where they are read from, what beats what, and what is refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from nix_autocache.errors import InputError
from nix_autocache.settings import INPUTS, inputs_of, read

ROOT = Path(__file__).parents[2]


def test_a_flag_beats_the_environment_beats_an_input() -> None:
    given, environ, flags = {"exclude": "given"}, {"NIX_AUTOCACHE_EXCLUDE": "environ"}, {"exclude": "flag"}
    for expected, arguments in (
        ("flag", (given, environ, flags)),
        ("environ", (given, environ, {})),
        ("given", (given, {}, {})),
    ):
        pattern = read(*arguments).exclude
        assert pattern is not None
        assert pattern.pattern == expected


def test_github_writes_inputs_in_upper_case_with_dashes() -> None:
    assert inputs_of({"INPUT_FLUSH-TIMEOUT": "5", "HOME": "/"}, "INPUT_") == {"flush-timeout": "5"}


def test_an_empty_value_counts_as_not_given() -> None:
    assert read({"flush-timeout": "", "signing-key": ""}, {"NIX_AUTOCACHE_PUSH": ""}, {}).flush_timeout == 600


def test_every_default_is_valid() -> None:
    settings = read({row.name: row.default for row in INPUTS}, {}, {})
    assert settings.cache is None
    assert settings.upstream_keys[0].name == "cache.nixos.org-1"
    assert settings.upstream_keys[0].key is not None


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("push", "sometimes", "auto, always, never"),
        ("mode", "dual-user", "multi-user"),
        ("flush-timeout", "-1", "whole number"),
        ("flush-timeout", "1e3", "whole number"),
        ("dry-run", "perhaps", "true nor false"),
        ("exclude", "(", "regular expression"),
        ("nix-sha256", "ABC", "64"),
        ("nix-version", "latest", "2."),
        ("cache", "my-bucket", "store URL"),
        ("cache", "s3://b?secret-key=/key", "signing-key"),
        ("public-keys", "nix-1:AAAA", "32"),
        ("aws-role", "ci", "arn:aws:iam"),
        ("compression", "brotli", "zstd, xz, none"),
    ],
)
def test_a_wrong_value_names_the_input_the_value_and_what_is_allowed(name: str, value: str, allowed: str) -> None:
    with pytest.raises(InputError) as caught:
        read({name: value}, {}, {})
    assert name in str(caught.value)
    assert allowed in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "environ", "advice"),
    [
        ({"signing_key": "x"}, {}, "signing-key"),
        ({}, {"NIX_AUTOCACHE_FLUSH_TIMOUT": "5"}, "NIX_AUTOCACHE_FLUSH_TIMEOUT"),
    ],
)
def test_an_unknown_input_is_refused_with_the_nearest_known(
    given: dict[str, str], environ: dict[str, str], advice: str
) -> None:
    with pytest.raises(InputError, match=f"did you mean {advice}"):
        read(given, environ, {})


def test_a_secret_is_not_in_the_settings_text() -> None:
    assert "hunter2" not in repr(
        read({"signing-key": "hunter2", "github-token": "hunter2", "id-token": "hunter2"}, {}, {})
    )


def test_the_reference_is_what_settings_say() -> None:
    command = [sys.executable, str(ROOT / "tools/reference.py"), "--check"]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
