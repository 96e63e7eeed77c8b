"""A bucket of Google's that is there, and the JSON key of a service account."""

import json
from pathlib import Path

import pytest

from nix_autocache.errors import InputError
from nix_autocache.nix import keys
from nix_autocache.onboarding import google_storage, steps
from nix_autocache.onboarding.steps import Now
from nix_autocache.onboarding.storage import Storage
from nix_autocache.onboarding.terminal import PlainTerminal
from tests.harness.memory_repository import MemoryRepository, request

ACCOUNT = {
    "type": "service_account",
    "client_email": "ci@acme.iam.gserviceaccount.com",
    "private_key": "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n",
}
FROM_TEXT = {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(ACCOUNT, indent=2)}


def planned(one: MemoryRepository, environ: dict[str, str], **flags: object) -> Storage:
    return google_storage.plan(request(one, environ, **{"cache": "gs://bucket/prefix", **flags}))


@pytest.mark.parametrize("way", ["text", "file"])
def test_the_json_key_becomes_a_secret(way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, file = MemoryRepository(), tmp_path / "key.json"
    file.write_text(FROM_TEXT["GOOGLE_SERVICE_ACCOUNT_KEY"])
    environ = FROM_TEXT if way == "text" else {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}
    plan = planned(one, environ)
    steps.carry_out(plan.steps, PlainTerminal())
    stored = one.secrets["GOOGLE_SERVICE_ACCOUNT_KEY"]
    assert json.loads(stored) == ACCOUNT
    assert "\n" not in stored, "GitHub would hide each line by itself"
    key = keys.parse_secret(one.secrets["NIX_SIGNING_KEY"])
    assert one.variables == {"NIX_CACHE": "gs://bucket/prefix", "NIX_CACHE_PUBLIC_KEYS": str(key.public)}
    assert one.variables == dict(plan.setup.variables)
    assert plan.setup.secrets == ("GOOGLE_SERVICE_ACCOUNT_KEY",)
    assert plan.notes == ("Google service account ci@acme.iam.gserviceaccount.com",)
    assert "PRIVATE" not in capsys.readouterr().out
    assert {step.look().now for step in planned(one, environ).steps} == {Now.RIGHT}
    steps.undo(planned(one, {}, undo=True).steps, PlainTerminal())
    assert (one.variables, set(one.secrets)) == ({}, {"GOOGLE_SERVICE_ACCOUNT_KEY"}), "other workflows may use it"


WRONG = {
    "no key at all": ({}, "needs the JSON key of a service account"),
    "no file": ({"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere"}, "cannot read /nowhere"),
    "no JSON": ({"GOOGLE_SERVICE_ACCOUNT_KEY": "secret"}, "holds no JSON key"),
    "another JSON": ({"GOOGLE_SERVICE_ACCOUNT_KEY": "[]"}, "holds no JSON key"),
    "a person's login": (
        {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps({**ACCOUNT, "type": "authorized_user"})},
        "holds no JSON key",
    ),
    "no private key": (
        {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps({**ACCOUNT, "private_key": ""})},
        "holds no JSON key",
    ),
}


@pytest.mark.parametrize(("environ", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_json_key_is_one_line(environ: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        planned(MemoryRepository(), environ)
    assert "\n" not in str(caught.value)
    assert "BEGIN" not in str(caught.value)


@pytest.mark.parametrize("flags", [{"credentials": "role"}, {"key_in": "aws-ssm:/key"}, {"public": True}])
def test_flags_that_are_for_aws(flags: dict[str, object]) -> None:
    with pytest.raises(InputError, match="--"):
        planned(MemoryRepository(), FROM_TEXT, **flags)


def test_the_rule_of_a_throwaway_cache_is_left_to_the_person() -> None:
    notes = planned(MemoryRepository(), FROM_TEXT, cache="gs://bucket/ci/{month}").notes
    assert any("names begin with ci/20 after 70 days" in note for note in notes), notes
