"""Events as the CI hosts send them."""

from pathlib import Path

GITHUB = Path(__file__).with_name("github")


def github(payload: str) -> dict[str, str]:
    """The variables of a job that the event with this payload started, such as `pull_request-fork`."""
    name = {"tag": "push", "unknown": "an_event_of_next_year"}.get(payload, payload.partition("-")[0])
    return {"GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": str(GITHUB / f"{payload}.json")}
