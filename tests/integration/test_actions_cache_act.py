"""Version 1 of the Actions cache's protocol, against act's own server. The job that has it waits for the test."""

import random
from collections.abc import Iterator

import pytest

from nix_autocache.caches.actions.opening import open_service
from nix_autocache.caches.actions.service import BLOCK, ActionsService
from tests.conftest import MakeMachine
from tests.harness.act import binds
from tests.harness.act_cache import act_cache

VERSION = "ab" * 32


@pytest.fixture
def service(machine: MakeMachine) -> Iterator[ActionsService]:
    """The server of act, reached as from a step of its job; the test is in the machine's network."""
    job = machine(binds=binds(), nix=False)
    with act_cache(job) as variables, job.network():
        opened = open_service(variables, VERSION)
        assert opened
        yield opened


def test_entries_are_stored_block_by_block_and_read_by_ranges(service: ActionsService) -> None:
    content = random.Random(1).randbytes(2 * BLOCK + 5)
    assert service.find(["nix-autocache/"]) is None
    upload = service.reserve("nix-autocache/s1/a")
    assert upload
    for offset in (2 * BLOCK, 0, BLOCK, 0):
        upload.put(offset, content[offset : offset + BLOCK])
    assert service.find(["nix-autocache/"]) is None
    upload.finish(len(content))
    found = service.find(["none/", "nix-autocache/"])
    assert found
    assert found.key == "nix-autocache/s1/a"
    part = service.read(found.url, BLOCK, BLOCK + 10)
    assert part
    assert (part.content, part.total, part.ignores_ranges) == (content[BLOCK : BLOCK + 10], len(content), False)
    end = service.read(found.url, len(content) - 3, len(content) + 3)
    assert end
    assert end.content == content[-3:]
    behind = service.read(found.url, len(content), len(content) + 1)
    assert behind
    assert (behind.content, behind.total) == (b"", len(content))
    stream = service.stream(found.url, 7, 1 << 40)
    assert stream
    assert (stream.size, b"".join(stream.pieces)) == (len(content) - 7, content[7:])


def test_an_entry_of_another_version_or_key_is_not_found(service: ActionsService) -> None:
    upload = service.reserve("a/1")
    assert upload
    upload.put(0, b"x")
    upload.finish(1)
    assert service.find(["b/", "1"]) is None
    assert service.find(["a/1"])


def test_finishing_again_after_a_lost_answer_succeeds(service: ActionsService) -> None:
    upload = service.reserve("a/1")
    assert upload
    upload.put(0, b"x")
    upload.finish(1)
    upload.finish(1)


def test_a_link_to_nothing_is_gone(service: ActionsService) -> None:
    upload = service.reserve("a/1")
    assert upload
    upload.put(0, b"x")
    upload.finish(1)
    found = service.find(["a/"])
    assert found
    gone = found.url.rpartition("/")[0] + "/999999"
    assert service.read(gone, 0, 1) is None
