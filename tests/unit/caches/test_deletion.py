"""Objects of a bucket that are deleted one by one over HTTPS."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nix_autocache.caches.deletion import delete_each
from nix_autocache.caches.object_store import ObjectStoreCache
from nix_autocache.caches.opening import open_cache
from nix_autocache.caches.protocol import Access
from nix_autocache.nix.store import Nix
from nix_autocache.nix.store_url import parse_cache_url
from tests.harness import odd, programs

GIVEN = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE00000000", "AWS_SECRET_ACCESS_KEY": "secret"}


@contextmanager
def over_https(directory: Path, *modes: str) -> Iterator[tuple[odd.Odd, ObjectStoreCache]]:
    """A bucket at a server with a certificate of a private authority."""
    tls = directory / "tls"
    subprocess.run(programs.shell("certificate.sh", str(tls), "localhost"), check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
    served, server = odd.start(directory, modes)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        url = parse_cache_url(f"s3://bucket?endpoint=https://127.0.0.1:{served.port}")
        environ = {**GIVEN, "NIX_SSL_CERT_FILE": str(tls / "ca.pem")}
        cache = open_cache(url, Access(environ, Nix(Path("/")), None))
        assert isinstance(cache, ObjectStoreCache)
        yield served, cache
    finally:
        server.shutdown()
        server.server_close()


def test_all_deletions_of_a_cache_share_a_tls_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, make = [], ssl.create_default_context

    def count(*words: Any, **named: Any) -> ssl.SSLContext:
        made.append(make(*words, **named))
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", count)
    names = [f"nar/{number}" for number in range(40)]
    with over_https(tmp_path, "keeps=204") as (served, cache):
        assert made == [], "whoever deletes nothing makes none"
        assert delete_each(names, cache.remove) == {}
        assert delete_each(names, cache.remove) == {}
        assert len(served.asked("DELETE")) == 80
        assert len(made) == 1


def test_a_refusal_over_https_is_named(tmp_path: Path) -> None:
    with over_https(tmp_path, "keeps=403") as (_, cache):
        failed = delete_each(["nar/a"], cache.remove)
        assert "status 403 to DELETE" in failed["nar/a"]
