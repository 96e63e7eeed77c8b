"""The metadata services of three clouds, as their documentation has them, for a machine that has none.

`python3 metadata.py HOST PORT CLOUD` serves one until it is killed; AWS's wants a session's token, as IMDSv2 does.
"""

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

ROLE = {
    "Code": "Success",
    "Type": "AWS-HMAC",
    "AccessKeyId": "ASIAMACHINEROLE00000",
    "SecretAccessKey": "of-the-machine",
    "Token": "t",
    "LastUpdated": "2026-01-01T00:00:00Z",
    "Expiration": "2099-01-01T00:00:00Z",
}
TOKEN = "of-this-session"
BEARER = {"access_token": "of-the-machine", "expires_in": 3599, "token_type": "Bearer"}
SECRET = "of-the-container"


class Handler(BaseHTTPRequestHandler):
    """`cloud` is aws, oldest, ecs, google, azure, app, or `none`, which has no role to give."""

    def __init__(self, cloud: str, *words: Any) -> None:
        self.cloud = cloud
        super().__init__(*words)

    def do_PUT(self) -> None:
        self._say(TOKEN if self.cloud in {"aws", "none"} and self.path == "/latest/api/token" else None)

    def do_GET(self) -> None:
        self._say(getattr(self, f"answer_of_{self.cloud}")())

    def answer_of_aws(self) -> str | None:
        directory = "/latest/meta-data/iam/security-credentials/"
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            return None
        return {directory: "machine-role", f"{directory}machine-role": json.dumps(ROLE)}.get(self.path, "")

    def answer_of_oldest(self) -> str | None:
        """IMDSv1 alone, which knows no PUT."""
        return "machine-role" if self.path.endswith("/security-credentials/") else None

    def answer_of_none(self) -> str | None:
        return None

    def answer_of_ecs(self) -> str | None:
        return json.dumps(ROLE) if self.headers.get("Authorization") == SECRET else None

    def answer_of_google(self) -> str | None:
        asked = "/computeMetadata/v1/instance/service-accounts/default/token"
        good = self.headers.get("Metadata-Flavor") == "Google" and self.path == asked
        return json.dumps(BEARER) if good else None

    def answer_of_azure(self) -> str | None:
        good = self.headers.get("Metadata") == "true" and self.path.startswith("/metadata/identity/oauth2/token?")
        return json.dumps(BEARER) if good else None

    def answer_of_app(self) -> str | None:
        return json.dumps(BEARER) if self.headers.get("X-IDENTITY-HEADER") == SECRET else None

    def _say(self, text: str | None) -> None:
        self.send_response(404 if text is None else 200)
        self.send_header("Content-Length", str(len(text or "")))
        self.end_headers()
        self.wfile.write((text or "").encode())

    def log_request(self, *words: Any) -> None:
        """Nothing is worth a line."""


def listening(cloud: str, host: str, port: int) -> ThreadingHTTPServer:
    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    return Server((host, port), partial(Handler, cloud))


@contextmanager
def serving(cloud: str) -> Iterator[str]:
    """Yields the address, as host:port."""
    with listening(cloud, "127.0.0.1", 0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


if __name__ == "__main__":
    listening(sys.argv[3], sys.argv[1], int(sys.argv[2])).serve_forever()
