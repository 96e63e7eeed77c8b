"""What the collector makes of the content of narinfos, realisations and debug links, whoever wrote it."""

import pytest

from nix_autocache.collecting.graph import number_of, short
from nix_autocache.collecting.small_objects import archive_name, parsed, target_of

PART = "0123456789abcdfghijklmnpqrsvwxyz"


def test_a_narinfo_names_its_archive_and_its_references() -> None:
    text = f"StorePath: /nix/store/{PART}-x\nURL: nar/a.nar\nReferences: {PART}-x  other {PART[:-1]}-x\n"
    assert parsed(text.encode()) == (short("nar/a.nar"), [number_of(PART)])


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00", b"URL\n", b"URL: https://elsewhere/nar/a\n", b"References: e-x\n"]
)
def test_what_nix_cannot_read_refers_to_nothing(content: bytes) -> None:
    assert parsed(content) == (0, [])


@pytest.mark.parametrize(
    ("url", "name"),
    [("nar/a%20b?x=1", "nar/a b"), ("./nar/../nar/a", "nar/a"), ("/nar/a", "nar/a"), ("s3://b/nar/a", ""), ("", "")],
)
def test_the_url_of_a_narinfo_is_the_name_of_an_object(url: str, name: str) -> None:
    assert archive_name(url) == name


@pytest.mark.parametrize(
    ("name", "content", "target"),
    [
        ("realisations/a.doi", f'{{"outPath": "{PART}-x"}}', PART),
        ("realisations/a.doi", '{"outPath": "short"}', ""),
        ("realisations/a.doi", '{"outPath": 5}', ""),
        ("debuginfo/a", '{"archive": "../nar/a.nar", "member": "x"}', "nar/a.nar"),
        ("debuginfo/a", '{"archive": "../nar/a\\n.nar"}', ""),
        ("debuginfo/a", '{"archive": 5}', ""),
        ("debuginfo/a", "[]", ""),
        ("debuginfo/a", "", ""),
    ],
)
def test_links_belong_to_a_path_or_an_archive_or_to_nothing(name: str, content: str, target: str) -> None:
    assert target_of(name, content.encode()) == target
