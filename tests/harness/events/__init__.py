"""Events as the CI hosts send them: payloads, and the tokens of the jobs that they start."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

GITHUB = Path(__file__).with_name("github")
READ, BOTH = 1, 3  # permissions in a token


def github(payload: str) -> dict[str, str]:
    """The variables of a job that the event with this payload started, such as `pull_request-fork`."""
    name = {"tag": "push", "unknown": "an_event_of_next_year"}.get(payload, payload.partition("-")[0])
    return {"GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": str(GITHUB / f"{payload}.json")}


def runtime_token(scopes: Mapping[str, int]) -> str:
    """GitHub's token for the cache, with the permission for each scope in its claim `ac`. Its signature is none."""
    access = json.dumps([{"Scope": scope, "Permission": permission} for scope, permission in scopes.items()])
    parts = ({"alg": "RS256", "typ": "JWT"}, {"ac": access, "scp": "Actions.Results:a:b"})
    encoded = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join((*encoded, "c2lnbmF0dXJl"))
