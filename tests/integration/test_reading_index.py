"""Nix reads through a run index: without a question where it holds, and as without it where it does not."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nix_autocache.caches import run_codec
from nix_autocache.caches.run_index import RunIndex
from nix_autocache.ci.lane import Lane
from nix_autocache.nix import keys
from tests.conftest import MakeMachine
from tests.harness import faults, graphs, nix, product, programs, servers
from tests.harness.binary_cache import narinfos
from tests.harness.commands import Completed
from tests.harness.faults import Faults
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.roots import NEW, Generation
from tests.harness.waiting import wait_for

OWN, OTHER = (Lane("0123456789abcdef", lane).index for lane in ("01234567", "89abcdef"))
PORT = 7200
PROBE = graphs.leaf("probe")
GRAPH = f"[ ({graphs.chain(4)}) ({graphs.BIG}) ({graphs.leaf('other')}) ]"


class Cache:
    """What a machine has built and pushed, read through a proxy of ours that is `far` from it."""

    def __init__(self, machine: Machine, directory: Path, far: Faults, key: keys.PublicKey) -> None:
        self.machine, self.directory, self.far, self.key = machine, directory, far, key
        self._before = 0  # requests before Nix may ask

    def texts(self) -> list[str]:
        return [path.read_text() for path in sorted(self.directory.glob("*.narinfo"))]

    def write(self, name: str, index: bytes) -> None:
        (self.directory / name).parent.mkdir(parents=True, exist_ok=True)
        (self.directory / name).write_bytes(index)

    def archive(self, name: str) -> Path:
        return self.directory / narinfos(self.directory)[name]["URL"]

    @contextmanager
    def read(self, *indexes: str, loaded: bool = True) -> Iterator[str]:
        """Its URL for Nix, whose store and memory are empty. It has read its indexes if they are to be `loaded`."""
        self.machine.sh("nix-store --gc >/dev/null 2>&1; rm -rf /root/.cache/nix")
        self.far.log.write_text("")
        self._before = 0
        command = programs.python("serve_index.py", str(PORT), self.far.url, str(self.key), *indexes)
        with self.machine.start(command, env=product.environment()) as serving:
            serving.wait_for_text("listening")
            url = f"http://127.0.0.1:{PORT}"
            probe = next(path.stem for path in self.directory.glob("*.narinfo") if "-probe\n" in path.read_text())
            ask = ["curl", "--silent", "--fail", "--retry", "5", "--retry-connrefused", f"{url}/{probe}.narinfo"]

            def is_known() -> bool:
                before = len(self.asked(".narinfo"))
                self.machine.run(ask)
                return len(self.asked(".narinfo")) == before

            if loaded:
                wait_for(is_known, "an answer from the index")
            elif indexes:
                wait_for(lambda: len(self.asked("autocache/")) >= len(indexes), "questions for the indexes")
            self._before = len(self.far.requests())
            yield url

    def asked(self, pattern: str) -> list[str]:
        """What the cache was asked for since Nix may ask."""
        return [request.path for request in self.far.requests()[self._before :] if re.search(pattern, request.path)]

    def archives(self) -> list[str]:
        """The names of the archives that it was asked for, also before that."""
        return [request.path.lstrip("/") for request in self.far.requests() if "/nar/" in request.path]

    def build(self, url: str, expression: str, *options: str, check: bool = True) -> Completed:
        words = ["--option", "substituters", url, "--option", "trusted-public-keys", str(self.key), *options]
        return self.machine.run(["nix-build", "--no-out-link", *words, "--expr", expression], check=check)

    def verify(self, *paths: str) -> None:
        self.machine.run(["nix-store", "--verify-path", *paths])


@contextmanager
def cache(machine: Machine, directory: Path, expression: str) -> Iterator[tuple[Cache, Sequence[str]]]:
    """The cache, and the paths of the expression."""
    nix.without_daemon(machine)
    with servers.odd(machine, directory / "http") as server:  # which is not, without a mode
        key = Job(machine).keygen()
        paths = nix.build(machine, expression).split()
        probe = nix.build(machine, PROBE)
        Job(machine, inputs={"cache": server.url, "signing-key": key}).run("push", *paths, probe)
        with faults.before(machine, server.port, directory) as far:
            yield Cache(machine, directory / "http", far, keys.parse_secret(key).public), paths


def built(done: Completed) -> set[str]:
    return set(re.findall(r"building '/nix/store/\w{32}-(\S+)\.drv'", done.stderr))


def test_what_an_index_knows_nix_fetches_without_a_question(
    machine: MakeMachine, nix_generation: Generation, tmp_path: Path
) -> None:
    """From its own and another's, which each know a half."""
    graph = f"[ ({graphs.chain(6)}) ({graphs.BIG}) ] ++ ({graphs.independent(20)}) ++ ({graphs.layered(4, 3)})"
    with cache(machine(nix_generation, product.binds()), tmp_path, graph) as (one, paths):
        texts = one.texts()
        one.write(OWN, RunIndex.of(texts[::2]).encode())
        one.write(OTHER, RunIndex.of(texts[1::2]).encode())
        with one.read(OWN, OTHER) as url:
            assert built(one.build(url, graph)) == set()
            one.verify(*paths)
            assert one.asked(r"\.narinfo$") == []
            urls = {name: info["URL"] for name, info in narinfos(one.directory).items()}
            assert sorted({*one.archives(), urls["probe"]}) == sorted(urls.values())
            assert len(one.archives()) == len(set(one.archives())), "each once"


def test_an_archive_that_is_gone_is_built_and_leaves_the_index(
    machine: MakeMachine, nix_generation: Generation, tmp_path: Path
) -> None:
    """Also without `fallback`: for Nix, a substitute that has gone was never there. Nix 2.34 builds referrers, too."""
    with cache(machine(nix_generation, product.binds()), tmp_path, GRAPH) as (one, paths):
        one.write(OWN, RunIndex.of(one.texts()).encode())
        one.archive("link-1").unlink()
        for fallback in ("true", "false"):
            with one.read(OWN) as url:
                done = one.build(url, GRAPH, "--option", "fallback", fallback)
                assert {"link-1"} <= built(done) <= {"link-1", "link-2", "link-3"}, done.stderr
                one.verify(*paths)
                for name, info in narinfos(one.directory).items():
                    part = info["StorePath"].rpartition("/")[2][:32]
                    one.machine.run(["curl", "--silent", "--fail", f"{url}/{part}.narinfo"])
                    leaves = name in {"link-1", "link-2", "link-3"}
                    assert bool(one.asked(f"{part}.narinfo")) == leaves, name


def test_without_a_derivation_an_archive_that_is_gone_is_an_error(
    machine: MakeMachine, nix_generation: Generation, tmp_path: Path
) -> None:
    """What does not need it is fetched."""
    with cache(machine(nix_generation, product.binds()), tmp_path, GRAPH) as (one, paths):
        one.write(OWN, RunIndex.of(one.texts()).encode())
        one.archive("link-1").unlink()
        with one.read(OWN) as url:
            words = ["--option", "substituters", url, "--option", "trusted-public-keys", str(one.key), "--keep-going"]
            done = one.machine.run(["nix-store", "--realise", *words, "--fallback", *paths], check=False)
            assert done.returncode != 0
            assert "link-1" in done.stderr, done.stderr
            one.verify(*(path for path in paths if "link" not in path))


def test_an_index_that_is_not_right_changes_nothing(
    machine: MakeMachine, nix_generation: Generation, tmp_path: Path
) -> None:
    """And what is not loaded in time is not waited for."""
    with cache(machine(nix_generation, product.binds()), tmp_path, GRAPH) as (one, paths):
        good = RunIndex.of(one.texts()).encode()
        other = one.archive("other").relative_to(one.directory)
        wrong = {
            "cut": good[: len(good) // 2],
            "garbage": b"<html>no</html>" * 100,
            "empty": b"",
            "a bomb": run_codec.pack({"kind": "index"}, "x" * (100 << 20)),
            "unsigned": index(re.sub("Sig: .*\n", "", text) for text in one.texts()),
            "of another key": index(re.sub("Sig: .*", f"Sig: {foreign(text)}", text) for text in one.texts()),
            "of other contents": index(re.sub("NarHash: .*", f"NarHash: sha256:{'0' * 52}", t) for t in one.texts()),
            "with one archive for all": index(re.sub("URL: .*", f"URL: {other}", text) for text in one.texts()),
        }
        for name, content in wrong.items():
            one.write(OWN, content)
            with one.read(OWN, loaded=False) as url:
                done = one.build(url, GRAPH, "--option", "fallback", "true")
                one.verify(*paths)
                if name != "with one archive for all":  # signatures do not cover the archive's name
                    assert built(done) == set(), name
                    assert len(one.asked(r"\.narinfo$")) == 6, name
        one.write(OWN, good)
        one.far.do(faults.SILENT, to=OWN)
        with one.read(OWN, loaded=False) as url:
            assert built(one.build(url, GRAPH)) == set()
            one.verify(*paths)
            assert len(one.asked(r"\.narinfo$")) == 6


def index(texts: Iterator[str]) -> bytes:
    """As an attacker writes it: `encode` leaves out what has no signature."""
    return run_codec.pack({"kind": "index"}, "\n".join(texts))


def foreign(text: str) -> str:
    return keys.generate("test-1").sign(text.encode())


def test_an_index_of_another_store_is_not_used(machine: MakeMachine, tmp_path: Path) -> None:
    with cache(machine(NEW, product.binds()), tmp_path, PROBE) as (one, paths):
        one.write(OWN, RunIndex.of(text.replace("/nix/store", "/other/store") for text in one.texts()).encode())
        with one.read(OWN, loaded=False) as url:
            assert built(one.build(url, PROBE)) == set()
            one.verify(*paths)
