"""Inputs: where they are read from, what beats what, and what is refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from nix_autocache.ci.github import inputs_of
from nix_autocache.errors import InputError
from nix_autocache.nix.keys import CACHE_NIXOS_ORG, generate
from nix_autocache.settings import INPUTS, archive_format, doubtful, read

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


def test_an_empty_value_counts_as_not_given() -> None:
    assert read({"flush-timeout": "", "signing-key": ""}, {"NIX_AUTOCACHE_PUSH": ""}, {}).flush_timeout == 600


def test_every_default_is_valid() -> None:
    settings = read({row.name: row.default for row in INPUTS}, {}, {})
    assert settings.cache is None
    assert str(settings.upstream_keys[0]) == CACHE_NIXOS_ORG


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("push", "sometimes", "auto, always, never"),
        ("mode", "dual-user", "multi-user"),
        ("flush-timeout", "-1", "whole number"),
        ("flush-timeout", "1e3", "whole number"),
        ("flush-timeout", "٦٠", "whole number"),
        ("upstream-keys", "cache.nixos.org-1,other-1", "separated by blanks"),
        ("upstream-keys", "cache.nixos.org-1 other-1", "anybody can add a signature of that name"),
        ("nix-url", "/mirror/nix.tar.xz", "file://"),
        ("nix-url", "https://a.example.org/x https://b.example.org/y", "https://"),
        ("oidc-audience", "a\nb", "line break"),
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


@pytest.mark.parametrize("name", [row.name for row in INPUTS if row.name not in {"signing-key", "id-token"}])
@pytest.mark.parametrize("written", ["{}", "/{}", "file:{}", "{}=", "sha256:{}", "https://{}@host/x?y=", "a {}"])
def test_a_key_that_is_given_as_another_input_is_not_repeated(name: str, written: str) -> None:
    key = str(generate("a-1"))
    for text in (key, key.partition(":")[2]):
        assert text[-60:] not in refusal(name, written.format(text))


def refusal(name: str, value: str) -> str:
    """The error for a wrong value; empty for a right one."""
    try:
        read({name: value}, {}, {})
    except InputError as error:
        return str(error)
    return ""


def test_an_unknown_input_is_refused_with_the_nearest_known() -> None:
    with pytest.raises(InputError, match="did you mean signing-key"):
        read({"signing_key": "x"}, {}, {})


def test_variables_that_only_look_like_inputs_are_a_warning_at_most() -> None:
    own = {"INPUT_ENVIRONMENT": "production", "INPUT_NAME": "x", "INPUT_": "y", "NIX_AUTOCACHE_VERSION": "v1"}
    meant = {"INPUT_SIGNING_KEY": "k", "NIX_AUTOCACHE_FLUSH_TIMOUT": "5"}
    environ = {**own, **meant, "INPUT_PUSH": "never"}
    settings = read(inputs_of(environ), environ, {}, strict=False)
    assert (settings.push, settings.flush_timeout) == ("never", 600)
    said = list(doubtful(environ))
    assert len(said) == 3
    assert "did you mean signing-key?" in said[0]
    assert "did you mean NIX_AUTOCACHE_FLUSH_TIMEOUT?" in said[1]
    assert "NIX_AUTOCACHE_VERSION is no input and is ignored" in said[2]


@pytest.mark.parametrize("mark", ["\ufeff", "\u00ef\u00bb\u00bf", "\udcef\udcbb\udcbf", " \ufeff ", "\u200b", "\u00a0"])
def test_a_byte_order_mark_is_no_part_of_any_input(mark: str) -> None:
    plain = {row.name: row.default for row in INPUTS} | {
        "cache": "s3://bucket?region=eu-west-1",
        "signing-key": "env:KEY",
        "aws-role": "arn:aws:iam::123456789012:role/ci",
        "extra-nix-conf": "cores = 1",
        "nix-sha256": "0" * 64,
    }
    marked = {name: f"{mark}{text}{mark}\r\n" for name, text in plain.items()}
    variables = {row.variable: marked[row.name] for row in INPUTS}
    assert read(marked, {}, {}) == read({}, variables, {}) == read({}, {}, marked) == read(plain, {}, {})


@pytest.mark.parametrize(
    ("text", "push"), [("true", "auto"), ("yes", "auto"), ("True", "auto"), ("false", "never"), ("0", "never")]
)
def test_push_may_be_what_other_actions_call_it(text: str, push: str) -> None:
    assert read({"push": text}, {}, {}).push == push


@pytest.mark.parametrize(("made", "meant"), [("2.3", "2.30"), ("2.1", "2.10"), ("2.4", "2.40")])
def test_a_version_that_yaml_cut_short_is_told_of(made: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"nix-version: {made} is what YAML makes of {meant}.*quotes"):
        read({"nix-version": made}, {}, {})


def test_compression_level_minus_one_is_nixs_word_for_the_usual_one() -> None:
    given = {"cache": "file:///a?compression-level=-1&compression=xz", "compression-level": "6"}
    assert archive_format(read(given, {}, {})) == ("xz", 6)
    with pytest.raises(InputError, match="compression-level"):
        read({"cache": "file:///a?compression-level=22&compression=xz"}, {}, {})


def test_a_secret_is_not_in_the_settings_text() -> None:
    assert "hunter2" not in repr(
        read({"signing-key": "hunter2", "github-token": "hunter2", "id-token": "hunter2"}, {}, {})
    )


def test_the_template_has_no_here_document_in_a_substitution() -> None:
    """The bash of macOS takes a quote in it for its own."""
    template = (ROOT / "templates/nix-autocache/template.yml").read_text(encoding="utf-8")
    assert "<<'=end-of-install='" in template
    assert not [line for line in template.splitlines() if "$(" in line and "<<" in line]


def test_the_reference_is_what_settings_say() -> None:
    command = [sys.executable, "-m", "tools.reference", "--check"]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
