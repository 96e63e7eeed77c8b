"""Version 2 of the Actions cache's protocol: our client and GitHub's own, with one emulator of the service."""

import json
import os
import random
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from nix_autocache.caches.actions.opening import open_service
from nix_autocache.caches.actions.service import BLOCK, ActionsService, Expired
from nix_autocache.errors import CacheBusy, CacheError, CredentialsError, ReadOnly
from tests.harness import npm
from tests.harness.actions_cache import READ, WRITE, Actions
from tests.harness.tools import node

VERSION = "ab" * 32
SIZES = {"1 B": 1, "3 MB": 3_000_000, "20 MB": 20_000_000}
OFFICIAL = Path(__file__).parents[1] / "harness/programs/official_cache.mjs"


def service_of(actions: Actions, scopes: Mapping[str, int] | None = None, version: str = VERSION) -> ActionsService:
    service = open_service(actions.env(scopes), version)
    assert service
    return service


def save(service: ActionsService, key: str, content: bytes) -> None:
    upload = service.reserve(key)
    assert upload
    for offset in range(0, len(content), BLOCK):
        upload.put(offset, content[offset : offset + BLOCK])
    upload.finish(len(content))


def restore(service: ActionsService, key: str) -> bytes:
    found = service.find([key])
    assert found
    content = service.stream(found.url, 0, 1 << 40)
    assert content
    return b"".join(content.pieces)


def official(actions: Actions, verb: str, key: str, path: Path) -> object:
    """What GitHub's own client returns; it works in the directory of `path`."""
    env = {**actions.env(), "PATH": os.environ["PATH"], "RUNNER_TEMP": str(path.parent)}
    modules = npm.installed("actions-cache")
    command = [str(node() / "node"), str(OFFICIAL), str(modules), verb, key, path.name]
    done = subprocess.run(command, env=env, cwd=path.parent, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_the_official_client_is_content_with_the_emulator(actions: Actions, tmp_path: Path, size: int) -> None:
    file = tmp_path / "content"
    file.write_bytes(random.Random(size).randbytes(size))
    saved = official(actions, "save", "key", file)
    assert isinstance(saved, int)
    assert saved > 0
    assert official(actions, "save", "key", file) == -1  # the key is taken
    expected = file.read_bytes()
    file.unlink()
    assert official(actions, "restore", "other", file) is None
    assert official(actions, "restore", "key", file) == "key"
    assert file.read_bytes() == expected


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_our_client_stores_and_reads_by_ranges(actions: Actions, size: int) -> None:
    service = service_of(actions)
    content = random.Random(size).randbytes(size)
    save(service, "dir/key-1", content)
    assert service.reserve("dir/key-1") is None
    assert restore(service, "dir/") == content
    found = service.find(["none/", "dir/key"])
    assert found
    assert found.key == "dir/key-1"
    part = service.read(found.url, size - 1, size + 100)
    assert part
    assert (part.content, part.total, part.ignores_ranges) == (content[-1:], size, False)
    beyond = service.read(found.url, size + 5, size + 6)
    assert beyond
    assert (beyond.content, beyond.total) == (b"", size)
    calls = actions.control()["calls"]
    assert calls["PUT block"] == -(-size // BLOCK)
    assert calls["CreateCacheEntry"] == 2
    assert calls["FinalizeCacheEntryUpload"] == 1


def test_the_two_clients_read_what_the_other_stored(actions: Actions, tmp_path: Path) -> None:
    file = tmp_path / "content"
    file.write_bytes(random.Random(1).randbytes(3_000_000))
    official(actions, "save", "theirs", file)
    service = service_of(actions, version=str(official(actions, "version", "", file)))
    archive = restore(service, "theirs")
    save(service, "ours", archive + bytes(100))
    save(service, "small", archive)
    expected = file.read_bytes()
    file.unlink()
    assert official(actions, "restore", "small", file) == "small"
    assert file.read_bytes() == expected
    assert restore(service, "ours") == archive + bytes(100)


def test_blocks_may_arrive_in_any_order(actions: Actions) -> None:
    service = service_of(actions)
    content = random.Random(2).randbytes(2 * BLOCK + 7)
    upload = service.reserve("key")
    assert upload
    for offset in (2 * BLOCK, 0, BLOCK, 0):  # one of them again
        upload.put(offset, content[offset : offset + BLOCK])
    upload.finish(len(content))
    assert restore(service, "key") == content


def test_a_reservation_that_was_never_finished_is_not_found_and_keeps_its_key(actions: Actions) -> None:
    service = service_of(actions)
    upload = service.reserve("key")
    assert upload
    upload.put(0, b"x")
    assert service.find(["key"]) is None
    assert service.reserve("key") is None


def test_scopes_are_read_in_their_order_and_the_first_is_written(actions: Actions) -> None:
    pull = {"refs/pull/1/merge": READ | WRITE, "refs/heads/main": READ}
    save(service_of(actions), "a/1", b"main")
    assert restore(service_of(actions, pull), "a/") == b"main"
    save(service_of(actions, pull), "a/0", b"pull")
    assert restore(service_of(actions, pull), "a/") == b"pull"
    assert restore(service_of(actions), "a/") == b"main"


def test_a_token_that_only_reads_cannot_reserve(actions: Actions) -> None:
    with pytest.raises(ReadOnly, match="token has no writable scopes"):
        service_of(actions, {"refs/heads/main": READ}).reserve("key")


def test_a_token_that_may_not_read_is_refused(actions: Actions) -> None:
    with pytest.raises(CredentialsError, match="cache read denied"):
        service_of(actions, {"refs/heads/main": WRITE}).find(["key"])


def test_a_link_ends_and_a_new_one_is_given(actions: Actions) -> None:
    service = service_of(actions)
    save(service, "key", b"content")
    actions.control(download_link=-60)
    found = service.find(["key"])
    assert found
    with pytest.raises(Expired):
        service.read(found.url, 0, 1)
    with pytest.raises(Expired):
        service.stream(found.url, 0, 1)
    actions.control(download_link=600)
    assert restore(service, "key") == b"content"


def test_an_upload_whose_link_has_ended_is_given_up(actions: Actions) -> None:
    actions.control(upload_link=-60)
    upload = service_of(actions).reserve("key")
    assert upload
    with pytest.raises(CacheError, match="no longer accepted"):
        upload.put(0, b"x")


def test_links_allow_only_what_they_are_for(actions: Actions) -> None:
    service = service_of(actions)
    upload = service.reserve("key")
    assert upload
    link = getattr(upload, "_link")  # noqa: B009
    with pytest.raises(Expired):
        service.read(link, 0, 1)


def test_lookups_that_lag_find_the_entry_later(actions: Actions) -> None:
    actions.control(lag=2)
    service = service_of(actions)
    save(service, "key", b"content")
    assert service.find(["key"]) is None
    assert service.find(["key"]) is None
    assert restore(service, "key") == b"content"


@pytest.mark.parametrize("trouble", ["unknown", "lost"])
def test_finalize_is_asked_again_until_the_upload_is_known_to_be_finished(actions: Actions, trouble: str) -> None:
    """The service does not know the upload yet, or has finished it without an answer."""
    actions.control(**{trouble: 1})
    service = service_of(actions)
    upload = service.reserve("key")
    assert upload
    upload.put(0, b"x")
    with pytest.raises(CacheBusy):
        upload.finish(1)
    upload.finish(1)
    assert restore(service, "key") == b"x"
    assert actions.control()["keys"] == ["key"]


def test_too_many_creations_close_nothing_but_creations(actions: Actions) -> None:
    actions.control(creations=1, retry_after=41)
    service = service_of(actions)
    save(service, "key", b"x")
    with pytest.raises(CacheBusy) as caught:
        service.reserve("other")
    assert caught.value.retry_after == 41.0
    assert restore(service, "key") == b"x"


def test_an_evicted_entry_is_gone_although_there_is_a_link(actions: Actions) -> None:
    service = service_of(actions)
    save(service, "key", b"x")
    found = service.find(["key"])
    assert found
    actions.control(evict="k")
    assert service.read(found.url, 0, 1) is None
    assert service.stream(found.url, 0, 1) is None
    assert service.find(["key"]) is None


def test_a_server_that_ignores_ranges_is_read_all_the_same(actions: Actions) -> None:
    service = service_of(actions)
    content = random.Random(3).randbytes(3_000_000)
    save(service, "key", content)
    found = service.find(["key"])
    assert found
    actions.control(faults=[{"of": "GET blob", "times": 9, "whole": True}])
    part = service.read(found.url, 1_000_000, 1_000_010)
    assert part
    assert (part.content, part.total, part.ignores_ranges) == (content[1_000_000:1_000_010], len(content), True)
    assert restore(service, "key") == content


def test_an_answer_that_ends_early_is_asked_again(actions: Actions) -> None:
    service = service_of(actions)
    save(service, "key", bytes(1000))
    found = service.find(["key"])
    assert found
    actions.control(faults=[{"of": "GET blob", "times": 2, "cut": 10}])
    with pytest.raises(CacheBusy):
        service.read(found.url, 0, 1000)
    content = service.stream(found.url, 0, 1000)
    assert content
    with pytest.raises(CacheBusy):
        b"".join(content.pieces)
    assert restore(service, "key") == bytes(1000)


@pytest.mark.parametrize("of", ["Create", "GetCache", "PUT block", "PUT blocklist", "Finalize", "GET blob"])
def test_trouble_of_any_part_says_how_long_and_passes(actions: Actions, of: str) -> None:
    service = service_of(actions)
    actions.control(faults=[{"of": of, "status": 503, "retry_after": 3}])

    def save_and_restore(key: str) -> bytes:
        save(service, key, key.encode())
        return restore(service, key)

    with pytest.raises(CacheBusy) as caught:
        save_and_restore("key-1")
    assert caught.value.retry_after == 3.0
    assert save_and_restore("key-2") == b"key-2"


def test_a_token_that_ends_is_no_surprise(actions: Actions) -> None:
    service = service_of(actions)
    actions.control(faults=[{"of": "Create|Finalize|Get", "after": 2, "times": 9, "status": 401}])
    save(service, "key", b"x")
    with pytest.raises(CredentialsError):
        service.find(["key"])
    with pytest.raises(CredentialsError):
        service.reserve("other")
