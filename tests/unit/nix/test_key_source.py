"""The signing-key input: the key itself, or where it is."""

from pathlib import Path

import pytest

from nix_autocache import settings
from nix_autocache.errors import InputError
from nix_autocache.nix import keys
from nix_autocache.nix.key_source import KeySource
from nix_autocache.nix.keys import generate


def test_a_key_may_be_elsewhere() -> None:
    key = keys.generate("a-1")
    assert KeySource.parse("env:KEY").read({"KEY": f"{key}\n"}) == key
    for missing in ("env:NO", "file:/no/such/file"):
        with pytest.raises(InputError, match="signing-key"):
            KeySource.parse(missing).read({})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_key_in_a_file_that_a_windows_editor_wrote_is_read(tmp_path: Path, encoding: str) -> None:
    key, file = keys.generate("a-1"), tmp_path / "key"
    file.write_text(f"{key}\r\n", encoding=encoding)
    assert KeySource.parse(f"file:{file}").read({}) == key
    assert KeySource.parse("env:KEY").read({"KEY": f"\ufeff{key}"}) == key
    file.write_bytes(b"\xff\x00\xfe")
    with pytest.raises(InputError, match="cannot read"):
        KeySource.parse(f"file:{file}").read({})


KEY = keys.SecretKey("a-1", bytes(range(64)))  # a fixed one: it is part of the names of tests


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (str(KEY.public), "is a public key; the secret half is what `nix-autocache keygen` prints on standard output"),
        (f'"{KEY}"', "in quotes"),
        (f"'{KEY}", "in quotes"),
        (f"\u201c{KEY}\u201d", "in quotes"),
        (f"{KEY},{KEY}", "comma"),
        ("/builds/acme/project.tmp/SIGNING_KEY", "write file:/builds/acme/project.tmp/SIGNING_KEY"),
        ("~/secret-key", "write file:~/secret-key"),
        ("./key", "write file:./key"),
        ("file:", "file: names nothing"),
        ("aws-ssm:", "aws-ssm: names nothing"),
        ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:k-AbCdEf", "aws-secretsmanager:arn:aws:secretsmanager:"),
        ("arn:aws:ssm:eu-west-1:123456789012:parameter/key", "write aws-ssm:arn:aws:ssm:"),
        ('{"key": "a-1:AAAA"}', "no key of Nix"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "no key of Nix"),
    ],
)
def test_what_people_give_instead_of_a_secret_key_is_answered_with_what_they_meant(text: str, advice: str) -> None:
    with pytest.raises(InputError) as caught:
        KeySource.parse(text).read({})
    assert advice in str(caught.value)
    assert str(KEY).partition(":")[2] not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "kind", "in_aws", "as_text", "file"),
    [
        ("", "", False, False, None),
        (str(KEY), "literal", False, True, None),
        ("env:KEY", "env", False, True, None),
        ("file:/etc/key", "file", False, False, Path("/etc/key")),
        ("aws-ssm:/ci/key", "aws-ssm", True, False, None),
        ("aws-secretsmanager:arn:aws:secretsmanager:eu-west-1:1:secret:k", "aws-secretsmanager", True, False, None),
        ("file:", "literal", False, True, None),
    ],
)
def test_the_input_says_once_where_the_key_is(
    text: str, kind: str, in_aws: bool, as_text: bool, file: Path | None
) -> None:
    source = settings.read({"signing-key": text}, {}, {}).signing_key
    assert (source.kind, source.is_in_aws, source.is_text, source.file) == (kind, in_aws, as_text, file)
    assert str(source) == text
    assert bool(source) == bool(text)
    assert str(KEY).partition(":")[2] not in repr(source)


def test_only_a_key_elsewhere_than_in_aws_is_read_before_the_uploader_gets_it() -> None:
    key = keys.generate("a-1")
    assert KeySource.parse("env:KEY").resolved({"KEY": str(key)}) == KeySource.of_key(key)
    for source in (KeySource(), KeySource.parse("aws-ssm:key")):
        assert source.resolved({}) == source


@pytest.mark.parametrize("kind", ["file", "env"])
def test_a_key_in_place_of_where_it_is_is_not_repeated(kind: str) -> None:
    key = str(generate("a-1"))
    base64 = key.partition(":")[2]
    for text in (key, base64, f"{base64[:40]}//{base64[42:]}"):  # a path would lose a slash of the last
        with pytest.raises(InputError) as caught:
            KeySource.parse(f"{kind}:{text}").read({})
        assert text[-60:] not in str(caught.value)
