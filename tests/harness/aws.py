"""AWS and a CI host's token endpoint for tests: moto behind real HTTP, made as strict as the real ones are.

moto gives a session to any token and takes any key. Here a token must come from the endpoint, a session must be one
that was given and has not expired, and a role lasts as long as it may. A role that a test has made in moto is assumed
with a token that has claims (`tests.harness.aws_trust`), and its trust policy is asked. `Account.enforce` lets moto ask
the policies of users and roles, too. `Account.control` changes the rules of the running server and says what was asked
of it. `python -m tests.harness.aws PORT` runs it.
"""

import json
import re
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from tests.harness import aws_trust, servers, tools
from tests.harness.controlled import Controlled
from tests.harness.machine import Machine

ROLE = "arn:aws:iam::123456789012:role/ci"
REGION = "eu-west-1"
BEARER = "a-job-of-this-repository"
GIVEN = "token-given-to-the-job"  # as GitLab does, in a variable
START = {
    "tokens": 0,
    "sessions": 0,
    "asked": [],
    "longest": 43200,
    "lifetime": 0,
    "refuse": "",
    "expired": [],
    "busy": 0,
    "claims": {},  # of the tokens that the endpoint gives; without, they are for ROLE
}

StartResponse = Callable[..., Any]


class Front:
    """A WSGI application: moto, and what it lacks. `state` is what `control` shows and changes."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        _name_parameters()
        _name_deleted_objects()
        self.state: dict[str, Any] = {**START}
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._keys: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        query = {name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
        if path == "/control":
            return self._control(environ, start)
        if path == "/token":
            return self._token(query, environ.get("HTTP_AUTHORIZATION", ""), start)
        signature = environ.get("HTTP_AUTHORIZATION", "") + f"Credential={query.get('X-Amz-Credential', '')}"
        if used := re.search(r"Credential=(\w+)/", signature):
            return self._signed(used[1], environ, start)
        return self._unsigned(environ, start)

    def _control(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        self.state.update(json.loads(_body(environ) or b"{}"))
        if self.state["expired"] == "all":
            self.state["expired"] = list(self._keys)
        return _say(start, "200 OK", json.dumps(self.state))

    def _token(self, query: Mapping[str, str], authorization: str, start: StartResponse) -> Iterable[bytes]:
        if self.state["busy"]:
            self.state["busy"] -= 1
            return _say(start, "503 Service Unavailable", "")
        if authorization != f"bearer {BEARER}":
            return _say(start, "401 Unauthorized", "")
        self.state["tokens"] += 1
        claims = {**self.state["claims"]}
        value = f"{query['audience']} {self.state['tokens']}"
        if claims:
            value = aws_trust.token(claims.pop("iss"), query["audience"], claims.pop("sub"), **claims)
        return _say(start, "200 OK", json.dumps({"value": value}))

    def _signed(self, key: str, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        if key in self.state["expired"] or self.state["expired"] == "always":
            return _say(start, "400 Bad Request", _error("ExpiredToken", "The provided token has expired."))
        body = _body(environ).decode(errors="replace")
        if "Action=AddClientIDToOpenIDConnectProvider" in body:
            return _add_audience(parse_qs(body), start)
        if "HTTP_AUTHORIZATION" not in environ and _policies_are_enforced():
            return _say(start, "403 Forbidden", _error("AccessDenied", "moto asks no policy about a signed URL"))
        answer = self._moto(environ, start)
        if environ["REQUEST_METHOD"] == "PUT" and "<CreateBucketConfiguration" in body:
            _tag_bucket(environ["PATH_INFO"].strip("/"), body)
        return answer  # type: ignore[no-any-return]

    def _unsigned(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        asked = {name: values[0] for name, values in parse_qs(_body(environ).decode()).items()}
        if asked.get("Action") != "AssumeRoleWithWebIdentity":
            return self._moto(environ, start)  # type: ignore[no-any-return]
        with self._lock:
            self.state["asked"].append(int(asked.get("DurationSeconds", 3600)))
            if refusal := self._refusal(asked):
                return _say(start, "400 Bad Request", _error(*refusal))
            self.state["sessions"] += 1
            with _nothing_enforced():
                body = b"".join(self._moto(environ, start)).decode()
        self._keys += re.findall("<AccessKeyId>(.*?)<", body)
        if self.state["lifetime"]:
            ends = (datetime.now(UTC) + timedelta(seconds=self.state["lifetime"])).strftime("%Y-%m-%dT%H:%M:%SZ")
            body = re.sub("<Expiration>.*?<", f"<Expiration>{ends}<", body)
        return [body.encode()]

    def _refusal(self, asked: Mapping[str, str]) -> tuple[str, str] | None:
        if self.state["refuse"]:
            return self.state["refuse"], "Not authorized to perform sts:AssumeRoleWithWebIdentity"
        if claims := aws_trust.claims_of(asked["WebIdentityToken"]):
            return aws_trust.refusal(asked["RoleArn"], claims, self.state["asked"][-1])
        if asked["RoleArn"] != ROLE or asked["WebIdentityToken"].split()[0] not in {"sts.amazonaws.com", GIVEN}:
            return "InvalidIdentityToken", "Incorrect token audience"
        if self.state["asked"][-1] > self.state["longest"]:
            return "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        return None


@dataclass(frozen=True)
class Account(Controlled):
    """The running server."""

    def client(self, service: str) -> Any:
        """A boto3 client of the account's owner."""
        import boto3

        owner = {"aws_access_key_id": "OWNER", "aws_secret_access_key": "owner"}
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, **owner)

    def enforce(self) -> None:
        """From now on, keys must be of users and roles that there are, and may do only what their policies say."""
        self._tell_moto("reset-auth", b"0")

    def reset(self) -> None:
        """An empty account, where everything is allowed."""
        self._tell_moto("reset-auth", b"inf")
        self._tell_moto("reset", b"")
        self.control(**START)

    def _tell_moto(self, what: str, body: bytes) -> None:
        with self.network():
            headers = {"Content-Type": "application/octet-stream"}
            request = urllib.request.Request(f"{self.url}/moto-api/{what}", body, headers, method="POST")
            urllib.request.urlopen(request, timeout=10).close()

    def keep(self, key: str) -> None:
        """A bucket, and the signing key in both places, each under the name `/ci/key`."""
        with self.network():
            self.client("s3").create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
            self.client("ssm").put_parameter(Name="/ci/key", Value=key, Type="SecureString")
            self.client("secretsmanager").create_secret(Name="/ci/key", SecretString=key)

    def objects(self) -> dict[str, str]:
        """The narinfos of the bucket."""
        with self.network():
            s3 = self.client("s3")
            names = [item["Key"] for item in s3.list_objects_v2(Bucket="bucket").get("Contents", [])]
            infos = [name for name in names if name.endswith(".narinfo")]
            return {name: s3.get_object(Bucket="bucket", Key=name)["Body"].read().decode() for name in infos}

    @property
    def cache(self) -> str:
        return f"s3://bucket?endpoint={self.url}&region={REGION}"

    def env(self) -> dict[str, str]:
        """Variables that send a job's requests here."""
        names = ("STS", "SSM", "SECRETS_MANAGER")
        return {"AWS_REGION": REGION, **{f"AWS_ENDPOINT_URL_{name}": self.url for name in names}}

    def github(self) -> dict[str, str]:
        """GitHub's variables in a job with `permissions: id-token: write`."""
        url = f"{self.url}/token?api-version=2.0"
        return {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": BEARER}


@contextmanager
def in_thread() -> Iterator[Account]:
    """In this process, for tests without machines."""
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, Front(), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Account(f"http://127.0.0.1:{server.port}")
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def in_machine(machine: Machine, directory: Path, port: int = 5000) -> Iterator[Account]:
    """In the network of a machine."""
    command = ["env", f"PYTHONPATH={tools.PROJECT}", sys.executable, "-m", "tests.harness.aws", str(port)]
    with servers.serving(machine, command, port, directory) as server:
        server.wait()
        yield Account(server.url, machine.network)


def _name_parameters() -> None:
    """moto asks policies about "*" for a service that does not say what a request is for, as that of parameters."""
    from moto.ssm.responses import SimpleSystemManagerResponse

    def resource(self: Any) -> str:
        name = self._get_param("Name")
        return f"arn:aws:ssm:{self.region}:{aws_trust.ACCOUNT}:parameter/{name.lstrip('/')}" if name else "*"

    SimpleSystemManagerResponse._determine_resource = resource  # type: ignore[attr-defined]


def _name_deleted_objects() -> None:
    """moto asks policies about the bucket for DeleteObjects; AWS asks about each object."""
    from moto.s3.responses import S3Response

    ask = S3Response._authenticate_and_authorize_s3_action

    def asked(self: Any, bucket_name: str | None = None, key_name: str | None = None) -> None:
        names: list[Any] = [key_name]
        if self.data.get("Action") == "DeleteObject" and key_name is None:
            body = self.body.decode() if isinstance(self.body, bytes) else self.body
            names = re.findall("<Key>(.*?)</Key>", body)
        for name in names:
            ask(self, bucket_name, name)

    S3Response._authenticate_and_authorize_s3_action = asked  # type: ignore[method-assign]


def _policies_are_enforced() -> bool:
    from moto import settings

    return float("inf") > settings.INITIAL_NO_AUTH_ACTION_COUNT


@contextmanager
def _nothing_enforced() -> Iterator[None]:
    """For this request has no signature, which moto wants to see where it enforces policies."""
    from moto import settings

    before, settings.INITIAL_NO_AUTH_ACTION_COUNT = settings.INITIAL_NO_AUTH_ACTION_COUNT, float("inf")
    try:
        yield
    finally:
        settings.INITIAL_NO_AUTH_ACTION_COUNT = before


def _add_audience(asked: Mapping[str, list[str]], start: StartResponse) -> Iterable[bytes]:
    """AddClientIDToOpenIDConnectProvider, which moto lacks."""
    from moto.iam.models import iam_backends

    provider = iam_backends[aws_trust.ACCOUNT]["aws"].open_id_providers[asked["OpenIDConnectProviderArn"][0]]
    provider.client_id_list.append(asked["ClientID"][0])
    return _say(start, "200 OK", "<AddClientIDToOpenIDConnectProviderResponse/>")


def _tag_bucket(name: str, body: str) -> None:
    """The tags that CreateBucket has with it, which moto ignores."""
    from moto.s3.models import s3_backends

    tags = dict(re.findall("<Tag><Key>(.*?)</Key><Value>(.*?)</Value></Tag>", body))
    s3 = s3_backends[aws_trust.ACCOUNT]["aws"]
    if tags and name in s3.buckets:
        s3.put_bucket_tagging(name, tags)


def _body(environ: dict[str, Any]) -> bytes:
    """The request's body, which stays there for moto."""
    data: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = BytesIO(data)
    return data


def _error(code: str, message: str) -> str:
    inner = f"<Code>{code}</Code><Message>{message}</Message>"
    return f"<ErrorResponse><Error>{inner}</Error>{inner}</ErrorResponse>"


def _say(start: StartResponse, status: str, text: str) -> Iterable[bytes]:
    start(status, [("Content-Type", "text/xml" if text.startswith("<") else "application/json")])
    return [text.encode()]


if __name__ == "__main__":
    from werkzeug.serving import run_simple

    run_simple("127.0.0.1", int(sys.argv[1]), Front(), threaded=True)
