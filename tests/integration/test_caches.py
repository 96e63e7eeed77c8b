"""Every kind of cache, against real servers: pushed to, asked what is there, refused for a clear reason."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import binary_cache, certificates, forward, graphs, nix, product, servers
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.servers import Server


@pytest.fixture
def builder(machine: MakeMachine) -> Machine:
    made = machine(binds=product.binds())
    nix.without_daemon(made)
    return made


@pytest.mark.parametrize("serve", [servers.rclone_s3, servers.seaweedfs_s3], ids=lambda serve: serve.__name__)
def test_s3(builder: Machine, serve: Callable[[Machine, Path], AbstractContextManager[Server]], tmp_path: Path) -> None:
    with serve(builder, tmp_path / "s3") as server:
        server.wait()
        if serve is servers.rclone_s3:
            (tmp_path / "s3/bucket").mkdir()
        job = Job(
            builder,
            inputs={
                "cache": f"s3://bucket?endpoint={server.url}&region=us-east-1",
                "signing-key": Job(builder).keygen(),
            },
            env=servers.s3_env(),
        )
        push_and_push_again(job)
    if serve is servers.rclone_s3:
        bucket = tmp_path / "s3/bucket"
        assert set(binary_cache.narinfos(bucket)) == {"small", "big"}
        assert not binary_cache.missing(bucket)


def test_google_cloud_storage(builder: Machine, tmp_path: Path) -> None:
    with servers.google_xml(builder, tmp_path / "gs", "bucket") as server:
        server.wait()
        inputs = {"cache": "gs://bucket/prefix?scheme=http", "signing-key": Job(builder).keygen()}
        push_and_push_again(Job(builder, inputs=inputs, env=servers.google_env(server)))
    assert set(binary_cache.narinfos(tmp_path / "gs/bucket/prefix")) == {"small", "big"}


def test_azure_blob_storage(builder: Machine, tmp_path: Path) -> None:
    with servers.azurite(builder, tmp_path / "az") as server:
        server.wait()
        cache = f"az://container/prefix?endpoint={server.url}/{servers.AZURE_ACCOUNT}"
        job = Job(builder, inputs={"cache": cache, "signing-key": Job(builder).keygen()}, env=servers.azure_env())
        path = nix.build(builder, graphs.leaf("small"))
        assert "az://container/prefix does not exist; create it" in job.run("push", path, check=False).stderr
        servers.make_container(server, "container")
        push_and_push_again(job)


def test_a_cache_that_nix_cannot_read_is_not_named_to_it(builder: Machine) -> None:
    proxied = {"http_proxy": "http://127.0.0.1:9"}  # of which 127.0.0.1 is not exempt
    said = Job(builder, inputs={"cache": "gs://bucket", "push": "never"}, env=proxied).run("setup").stderr
    assert "no_proxy lacks 127.0.0.1: Nix does not read the cache" in said
    assert "Nix cannot read gs://bucket" in said
    assert "gs://" not in builder.run(["nix-build", "--no-out-link", "--expr", graphs.leaf("small")]).stderr


def push_and_push_again(job: Job) -> None:
    small, big = nix.build(job.machine, graphs.leaf("small")), nix.build(job.machine, graphs.BIG)
    assert job.run("push", small, big, timeout=120).stderr.startswith("2 pushed")
    assert job.run("push", small, big).stderr.startswith("0 pushed, 2 already there")


def test_plain_http_and_back(builder: Machine, tmp_path: Path) -> None:
    with servers.rclone_http(builder, tmp_path / "http") as server:
        server.wait()
        key = Job(builder).keygen()
        job = Job(builder, inputs={"cache": server.url, "signing-key": key})
        job.run("setup")
        small, big = nix.build(builder, graphs.leaf("small")), nix.build(builder, graphs.BIG)
        assert "2 pushed" in job.run("flush").stderr
        builder.run(["nix-store", "--delete", small, big])
        builder.sh("rm -rf /root/.cache/nix")
        again = builder.run(["nix-build", "--no-out-link", "--max-jobs", "0", "--expr", graphs.BIG])
        assert f"copying path '{big}' from 'http://127.0.0.1:" in again.stderr
        assert server.url not in again.stderr
        job.run("finish")


def test_https_with_a_private_authority_and_back(builder: Machine, tmp_path: Path) -> None:
    tls = certificates.issue(builder, "localhost")
    with servers.rclone_http(builder, tmp_path / "https", tls=tls) as server:
        server.wait()
        assert "its TLS certificate is not trusted (unable to get local issuer" in pushed(builder, server.url)
        job = Job(
            builder,
            inputs={"cache": server.url, "signing-key": Job(builder).keygen()},
            env={"NIX_SSL_CERT_FILE": tls.authority},
        )
        push_and_push_again(job)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_proxy_of_the_usual_variables_is_used(builder: Machine, tls: bool, tmp_path: Path) -> None:
    """The name of the cache says something to the proxy only."""
    issued = certificates.issue(builder, "cache.test") if tls else None
    with (
        servers.rclone_http(builder, tmp_path / "http", tls=issued) as server,
        forward.proxy(builder, tmp_path) as proxy,
    ):
        server.wait()
        env = {**proxy.env(), **({"NIX_SSL_CERT_FILE": issued.authority} if issued else {})}
        inputs = {"cache": server.url.replace("127.0.0.1", "cache.test"), "signing-key": Job(builder).keygen()}
        push_and_push_again(Job(builder, inputs=inputs, env=env))
        before = proxy.asked()
        exempt = Job(builder, inputs={**inputs, "cache": server.url}, env={**env, "no_proxy": "127.0.0.1"})
        assert "already there" in exempt.run("push", nix.build(builder, graphs.BIG)).stderr
        assert proxy.asked() == before


def test_any_other_store_goes_through_nix_copy(builder: Machine) -> None:
    job = Job(builder, inputs={"cache": "local?root=/root/other", "signing-key": Job(builder).keygen()})
    job.run("setup")
    path = nix.build(builder, f"({graphs.CHAIN}).top")
    assert "5 pushed" in job.run("finish").stderr
    assert builder.exists(f"/root/other{path}")


def test_what_nix_copy_wrote_is_already_there(builder: Machine) -> None:
    path = nix.build(builder, graphs.leaf("small"))
    key = Job(builder).keygen()
    builder.write("/root/secret-key", key)
    builder.run(["nix", "copy", "--to", "file:///root/cache?secret-key=/root/secret-key", path])
    job = Job(builder, inputs={"cache": "file:///root/cache", "signing-key": key})
    assert job.run("push", path).stderr.startswith("0 pushed, 1 already there")


@pytest.mark.every_value
@pytest.mark.parametrize("compression", ["zstd", "xz", "none"])
def test_each_compression_is_taken_by_each_nix(
    machine: MakeMachine, nix_generation: object, compression: str, tmp_path: Path
) -> None:
    first = Job(machine(nix_generation, product.binds(tmp_path)), inputs={"compression": compression})
    nix.without_daemon(first.machine)
    path = nix.build(first.machine, graphs.LARGE)
    first.run("push", path, timeout=120)
    assert binary_cache.narinfos(tmp_path / "cache")["large"]["Compression"] == compression
    second = machine(nix_generation, product.binds(tmp_path))
    nix.without_daemon(second)
    key = (tmp_path / "signing-key.pub").read_text()
    source = f"file://{product.DATA}/cache"
    second.run(["nix", "copy", "--from", source, path, "--option", "trusted-public-keys", key])


def pushed(builder: Machine, cache: str, **env: str) -> str:
    """The one line with which a push to an unusable cache ends, with exit status 1."""
    path = nix.build(builder, graphs.leaf("small"))
    job = Job(builder, inputs={"cache": cache, "signing-key": Job(builder).keygen()}, env={**servers.s3_env(), **env})
    done = job.run("push", path, check=False)
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_a_cache_that_cannot_be_used_is_one_line(builder: Machine, tmp_path: Path) -> None:
    with servers.rclone_s3(builder, tmp_path / "s3", ["bucket"]) as server:
        server.wait()
        there = f"s3://bucket?endpoint={server.url}"
        assert "does not exist; create it" in pushed(builder, there.replace("bucket", "absent"))
        assert "are the credentials right" in pushed(builder, there, AWS_SECRET_ACCESS_KEY="wrong" * 8)
        (tmp_path / "s3/bucket/nix-cache-info").write_text("StoreDir: /gnu/store\n")
        assert "the cache holds paths of /gnu/store" in pushed(builder, there)


def test_a_cache_that_cannot_be_used_is_found_at_setup(builder: Machine, tmp_path: Path) -> None:
    with servers.rclone_s3(builder, tmp_path / "s3", ["bucket", "guix"]) as server:
        server.wait()
        (tmp_path / "s3/guix/nix-cache-info").write_text("StoreDir: /gnu/store\n")
        wrong = {**servers.s3_env(), "AWS_SECRET_ACCESS_KEY": "wrong" * 8}
        for bucket, env, reason in [
            ("absent", servers.s3_env(), "s3://absent does not exist; create it"),
            ("bucket", wrong, "are the credentials right"),
            ("guix", servers.s3_env(), "the cache holds paths of /gnu/store"),
        ]:
            inputs = {"cache": f"s3://{bucket}?endpoint={server.url}", "signing-key": Job(builder).keygen()}
            said = Job(builder, inputs=inputs, env=env).run("setup").stderr
            (warning,) = [line for line in said.splitlines() if line.startswith("warning: not pushing: ")]
            assert reason in warning
            strict = Job(builder, inputs={**inputs, "on-upload-failure": "fail"}, env=env)
            assert strict.run("setup", check=False).returncode == 1


def test_a_cache_that_cannot_be_used_does_not_fail_the_job(builder: Machine) -> None:
    job = Job(builder, inputs={"cache": "file:///proc/cache", "signing-key": Job(builder).keygen()})
    assert "warning: not pushing: " in job.run("setup").stderr
    nix.build(builder, graphs.leaf("small"))
    assert "nothing to flush" in job.run("finish").stderr


def test_credentials_in_a_profile_reach_the_background_too(builder: Machine, tmp_path: Path) -> None:
    profile = f"[ci]\naws_access_key_id = {servers.ACCESS_KEY}\naws_secret_access_key = {servers.SECRET_KEY}\n"
    builder.write("/root/.aws/credentials", profile, mode=0o600)
    with servers.rclone_s3(builder, tmp_path / "s3", ["bucket"]) as server:
        server.wait()
        inputs = {"cache": f"s3://bucket?endpoint={server.url}", "signing-key": Job(builder).keygen()}
        job = Job(builder, inputs=inputs, env={"AWS_PROFILE": "ci"})
        job.run("setup")
        nix.build(builder, graphs.leaf("small"))
        assert "1 pushed" in job.run("finish").stderr
    assert set(binary_cache.narinfos(tmp_path / "s3/bucket")) == {"small"}
