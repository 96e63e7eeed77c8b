"""The collector on real stores: S3 in three makes, Azure's emulator, Google's XML API, a directory; below a prefix."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from nix_autocache.caches.opening import open_cache
from nix_autocache.caches.protocol import Access, Collectable, PathCache
from nix_autocache.caches.run_record import PINS, Pin, Revision
from nix_autocache.collecting.collector import Collector
from nix_autocache.collecting.lock import LOCK, Clock, TakenError
from nix_autocache.collecting.patient import Patient
from nix_autocache.collecting.policy_inputs import Policy
from nix_autocache.errors import Error
from nix_autocache.nix.store import Nix
from nix_autocache.nix.store_url import parse_cache_url
from tests.harness import aws, aws_person, google, servers
from tests.harness.collected import DAY, archive, narinfo, narinfo_text, part

MAKES = ("directory", "SeaweedFS", "moto", "rclone", "Azurite", "Google")
ALL = Policy(keep_days=-1, grace=-DAY, at_most=1.0)
"""Keeps only what is a root: a server's clock cannot be moved, and S3's times are whole seconds."""
PIN = f"{PINS}release"
REFERENCES: Mapping[int, list[int]] = {0: [], 1: [0], 2: [1], 3: [0], 4: [3]}


@dataclass(frozen=True)
class Served:
    cache: Collectable
    make: str


class Waiting:
    """A clock that goes on only while somebody waits."""

    now = 0.0

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(scope="module", params=[pytest.param(make, marks=pytest.mark.slow) for make in MAKES])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("servers") / "data"
    with ExitStack() as stack:
        yield Served(opened(*started(request.param, directory, stack)), request.param)


def started(make: str, directory: Path, stack: ExitStack) -> tuple[str, Mapping[str, str]]:
    """The URL of a cache below a prefix, and the variables with its credentials."""
    if make == "directory":
        return f"file://{directory}/prefix", {}
    if make == "Azurite":
        port = stack.enter_context(servers.azurite_of_host(directory))
        servers.create_container(port, "cache")
        endpoint = f"http://127.0.0.1:{port}/{servers.AZURE_ACCOUNT}"
        return f"az://cache/prefix?endpoint={endpoint}", servers.azure_env()
    if make == "Google":
        port = stack.enter_context(google.of_host("google"))
        return "gs://google/prefix?scheme=http", google.env(port)
    if make == "moto":
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        stack.callback(server.stop)
        port = server.get_host_and_port()[1]
    else:
        of_host = {"rclone": servers.rclone_s3_of_host, "SeaweedFS": servers.seaweedfs_s3_of_host}[make]
        port = stack.enter_context(of_host(directory))
    made = f"http://127.0.0.1:{port}"
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=made,
        region_name=servers.REGION,
        aws_access_key_id=servers.ACCESS_KEY,
        aws_secret_access_key=servers.SECRET_KEY,
    )
    client.create_bucket(Bucket="cache")
    client.put_object(Bucket="cache", Key="other/x.narinfo", Body=b"of another program")
    return f"s3://cache/prefix?endpoint={made}", servers.s3_env()


def opened(url: str, environ: Mapping[str, str]) -> Collectable:
    cache = open_cache(parse_cache_url(url), Access(environ, Nix(Path("/")), None))
    assert not isinstance(cache, PathCache)
    assert isinstance(cache, Collectable)
    return cache


def filled(cache: Collectable) -> None:
    """0 <- 1 <- 2 is used, 0 <- 3 <- 4 is dead; nothing else is there."""
    cache.delete([each.name for each in cache.objects()])
    for number, references in REFERENCES.items():
        cache.put(archive(number), b"x" * 100, "application/x-nix-nar")
        cache.put(narinfo(number), narinfo_text(number, references, archive(number)), "text/x-nix-narinfo")
        cache.put(f"{part(number)}.ls", b"{}", "application/json")
    cache.put(PIN, Pin((Revision(0.0, (f"{part(2)}-path-2",)),)).encode(), "application/zstd")


def collector(served: Served, *, alone: bool | None = None) -> Collector:
    time = Waiting()
    said: list[str] = []
    is_alone = served.make == "rclone" if alone is None else alone
    return Collector(Patient(served.cache), ALL, Clock(lambda: time.now, time.wait), said.append, alone=is_alone)


def names(cache: Collectable) -> set[str]:
    return {each.name for each in cache.objects() if not each.name.startswith("autocache/")}


def test_what_is_dead_goes_and_what_is_used_stays(served: Served) -> None:
    filled(served.cache)
    report = collector(served).collect(now=True)
    assert (report.deleted.paths, report.failed) == (2, {})
    assert narinfo(3) not in names(served.cache)
    assert archive(3) in names(served.cache), "it goes in the next run"
    report = collector(served).collect(now=True)
    assert (report.deleted.archives, report.read) == (2, 0)
    kept = [0, 1, 2]
    assert names(served.cache) == {name for each in kept for name in (narinfo(each), archive(each), f"{part(each)}.ls")}
    own = {each.name for each in served.cache.objects("autocache")}
    assert own == {"autocache/gc/doomed", "autocache/gc/index", PIN}


def test_a_second_collector_is_kept_out_or_the_store_is_refused(served: Served) -> None:
    filled(served.cache)
    served.cache.put(LOCK, b"of another", "application/zstd")
    with pytest.raises(Error, match="--alone") as refused:
        collector(served, alone=False).collect()
    assert isinstance(refused.value, TakenError) == (served.make != "rclone")


def test_an_object_is_replaced_only_if_it_is_the_one_that_was_seen(served: Served) -> None:
    """So the lock is renewed, and one that was left is taken over."""
    cache = served.cache
    cache.delete([LOCK])
    assert cache.put_if(LOCK, b"one", None)
    (seen,) = (each.etag for each in cache.objects("autocache/gc") if each.name == LOCK)
    assert cache.put_if(LOCK, b"two", seen)
    assert cache.put_if(LOCK, b"three", seen) == (served.make == "rclone")
    assert cache.get(LOCK) == (b"three" if served.make == "rclone" else b"two")
    cache.delete([LOCK])
    assert cache.put_if(LOCK, b"four", seen) == (served.make == "rclone")


def test_many_objects_are_listed_and_deleted(served: Served) -> None:
    """More than a page, and more than one request deletes."""
    filled(served.cache)
    many = [f"nar/{number:032}.nar" for number in range(1100 if served.make in {"SeaweedFS", "moto"} else 300)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: served.cache.put(name, b"x", "application/x-nix-nar"), many))
    assert set(many) <= names(served.cache)
    assert served.cache.delete([*many, "nar/missing.nar"]) == {}
    assert not set(many) & names(served.cache)


@pytest.mark.slow
def test_the_documented_policy_is_enough_for_gc_and_without_deletion_it_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In AWS, of which moto enforces the policies."""
    policy = json.dumps(aws_person.documented()[5]).replace("my-bucket/", "cache/ci/").replace("my-bucket", "cache")
    with aws.in_thread() as account, aws_person.person_of(account, monkeypatch) as person:
        region = {"LocationConstraint": aws.REGION}
        person.client("s3").create_bucket(Bucket="cache", CreateBucketConfiguration=region)
        url = f"s3://cache/ci?endpoint={account.url}&region={aws.REGION}"
        filled(opened(url, environ_of(person.keys["owner"])))
        iam = person.client("iam")
        iam.create_user(UserName="collector")
        key = iam.create_access_key(UserName="collector")["AccessKey"]
        served = Served(opened(url, environ_of(key)), "AWS")

        denied = policy.replace(', "s3:DeleteObject"', "")
        iam.put_user_policy(UserName="collector", PolicyName="gc", PolicyDocument=denied)
        with pytest.raises(Error, match=r"^gc: these credentials cannot delete: ") as refused:
            collector(served).collect(now=True)
        assert "\n" not in str(refused.value)
        assert narinfo(3) in names(served.cache)

        iam.put_user_policy(UserName="collector", PolicyName="gc", PolicyDocument=policy)
        reports = [collector(served).collect(now=True) for _ in range(2)]
        assert [(each.deleted.paths, each.deleted.archives, each.failed) for each in reports] == [
            (2, 0, {}),
            (0, 2, {}),
        ]


def environ_of(key: Mapping[str, str]) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
