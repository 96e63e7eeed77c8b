""" "Already there" is true: what a cache only seems to have is pushed again, and what lacks our signature gets it."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import binary_cache, faults, graphs, nix, odd, product, servers
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.roots import RECENT

KEY = "/root/key"
GRAPH = f"({graphs.CHAIN}).two"
PATHS = {"zero", "one", "two"}
SAME = f"""
let {graphs.SHELL} in builtins.genList (n: sh "same-${{toString n}}" "echo same > $out") 30
"""


@dataclass(frozen=True)
class Cache:
    """A machine with a Nix, a chain of three paths that it built, and a directory that is a cache."""

    machine: Machine
    directory: Path
    top: str

    def push(self, cache: str = "", check: bool = True) -> str:
        inputs = {"cache": cache or f"file://{product.DATA}/cache", "signing-key": f"file:{KEY}"}
        return Job(self.machine, inputs=inputs).said("push", self.top, check=check)

    def copy(self, options: str) -> None:
        """Fill the cache with `nix copy`."""
        self.machine.sh(f"nix copy --to 'file://{product.DATA}/cache?{options}' {self.top}")

    def narinfo(self, name: str) -> Path:
        (found,) = (
            p for p in self.directory.glob("*.narinfo") if p.read_text().partition("\n")[0].endswith(f"-{name}")
        )
        return found

    def infos(self) -> dict[str, dict[str, str]]:
        return binary_cache.narinfos(self.directory)

    def is_whole(self) -> bool:
        """True if another Nix that trusts our key alone gets everything."""
        key = self.machine.read(f"{KEY}.pub")
        self.machine.sh("rm -rf /root/.cache/nix /root/other")
        options = f"--option trusted-public-keys {key}"
        command = f"nix copy --from file://{product.DATA}/cache --to 'local?root=/root/other' {options} {self.top}"
        return self.machine.sh(command, check=False).returncode == 0


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cache]:
    from tests.harness import roots

    directory = tmp_path_factory.mktemp("there")
    with Machine(roots.root(RECENT), product.binds(directory), None) as made:
        nix.without_daemon(made)
        made.sh(f"nix-store --generate-binary-cache-key test-1 {KEY} {KEY}.pub")
        yield Cache(made, directory / "cache", nix.build(made, GRAPH))


@pytest.fixture
def cache(built: Cache) -> Cache:
    shutil.rmtree(built.directory, ignore_errors=True)
    return built


def test_what_no_nix_could_read_is_pushed_again(cache: Cache) -> None:
    assert cache.push().startswith("3 pushed")
    assert cache.push().startswith("0 pushed, 3 already there")
    cache.narinfo("zero").write_bytes(odd.PAGE)
    shutil.copy(cache.narinfo("one"), cache.narinfo("two"))
    assert cache.push().startswith("2 pushed, 1 already there")
    first = cache.narinfo("one")
    first.write_bytes(first.read_bytes()[:-20])
    assert cache.push().startswith("1 pushed, 2 already there")
    assert set(cache.infos()) == PATHS
    assert cache.is_whole()


@pytest.mark.parametrize("options", ["", "compression=zstd", "compression=none", "compression=bzip2"])
def test_what_has_no_signature_that_readers_trust_is_signed_again(cache: Cache, options: str) -> None:
    cache.copy(options)
    assert not cache.is_whole()
    archives = {file.name: file.stat().st_mtime_ns for file in (cache.directory / "nar").iterdir()}
    assert cache.push().startswith("0 pushed, 3 signed again")
    assert {file.name: file.stat().st_mtime_ns for file in (cache.directory / "nar").iterdir()} == archives
    assert cache.is_whole()
    assert cache.push().startswith("0 pushed, 3 already there")


def test_signatures_of_others_stay(cache: Cache) -> None:
    cache.machine.sh(
        "[ -e /root/other-key ] || nix-store --generate-binary-cache-key other-1 /root/other-key /dev/null"
    )
    cache.copy("secret-key=/root/other-key")
    assert cache.push().startswith("0 pushed, 3 signed again")
    text = cache.narinfo("one").read_text()
    assert "Sig: other-1:" in text
    assert "Sig: test-1:" in text


def plant(cache: Cache, name: str, **fields: str) -> None:
    """A narinfo as somebody would write it who can write the cache and has no key."""
    file = cache.narinfo(name)
    lines = [line for line in file.read_text().splitlines() if not line.startswith(("Sig:", "FileHash", "FileSize"))]
    changed = [f"{name}: {fields.get(name, value)}" for name, value in (line.split(": ", 1) for line in lines)]
    file.write_text("\n".join(changed) + "\n")


@pytest.mark.parametrize("field", ["URL", "NarHash", "NarSize", "References", "Compression", "content"])
def test_a_planted_narinfo_never_gets_our_signature(cache: Cache, field: str) -> None:
    """Its archive holds something else, or it says something that our store does not."""
    cache.copy("compression=none")
    others = cache.infos()["two"]
    evil = cache.directory / "nar/evil.nar"
    size = (cache.directory / cache.infos()["one"]["URL"]).stat().st_size
    evil.write_bytes((cache.directory / others["URL"]).read_bytes().ljust(size, b"\0")[:size])
    if field == "content":
        shutil.copy(evil, cache.directory / cache.infos()["one"]["URL"])
        planted = {}
    else:
        planted = {
            field: {"URL": "nar/evil.nar", "NarSize": "1", "Compression": "xz"}.get(field, others.get(field, ""))
        }
    plant(cache, "one", **planted)
    assert cache.push().startswith("1 pushed, 2 signed again")
    assert "evil" not in cache.narinfo("one").read_text()
    assert cache.is_whole()


def test_an_archive_that_is_gone_is_uploaded_again(cache: Cache) -> None:
    cache.copy("")
    (cache.directory / cache.infos()["one"]["URL"]).unlink()
    assert cache.push().startswith("1 pushed, 2 signed again")
    assert cache.is_whole()


def test_a_host_that_answers_with_a_page_is_no_cache(cache: Cache, tmp_path: Path) -> None:
    with servers.odd(cache.machine, tmp_path / "page", "page") as host:
        said = cache.push(host.url, check=False)
        assert "not a binary cache: what it answers for nix-cache-info begins with '<!doctype html>" in said
        assert not list((tmp_path / "page").iterdir())
        inputs = {"cache": host.url, "signing-key": f"file:{KEY}", "on-upload-failure": "fail"}
        done = Job(cache.machine, inputs=inputs).run("setup", check=False)
        assert done.returncode == 1
        assert "not a binary cache" in done.stdout + done.stderr
        # The page is then only what it says of what it does not have.
        (tmp_path / "page/nix-cache-info").write_text("StoreDir: /nix/store\n")
        assert cache.push(host.url).startswith("3 pushed")
        assert cache.push(host.url).startswith("0 pushed, 3 already there")


def test_paths_of_equal_content_are_uploaded_once(machine: MakeMachine, tmp_path: Path) -> None:
    """A server that locks what is being written refuses a second upload of it."""
    made = machine(RECENT, product.binds())
    nix.without_daemon(made)
    made.sh(f"nix-store --generate-binary-cache-key test-1 {KEY} {KEY}.pub")
    paths = nix.build(made, SAME).split()
    with servers.rclone_http(made, tmp_path / "http") as server, faults.before(made, server.port, tmp_path) as proxy:
        server.wait()
        job = Job(made, inputs={"cache": proxy.url, "signing-key": f"file:{KEY}"})
        # The first upload is refused, and with it its path; then another of them does it.
        proxy.do(faults.answer(400), *[faults.PASS] * 1000, to="PUT /nar/")
        said = job.said("push", *paths, check=False)
        pushed = 29 if "1 NOT pushed" in said else 30  # a flush that begins after the refusal tries it once more
        assert said.startswith(f"{pushed} pushed")
        puts = [request.path for request in proxy.requests() if request.method == "PUT"]
        assert len([path for path in puts if path.startswith("/nar/")]) == 2
        assert len([path for path in puts if path.endswith(".narinfo")]) == pushed
        assert job.said("push", *paths).startswith(f"{30 - pushed} pushed")
        assert not binary_cache.missing(tmp_path / "http")
