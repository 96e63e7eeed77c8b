"""Which paths may carry our signature: a table of what Nix says of a path, and of who could have made it say so."""

import pytest

from nix_autocache.nix import keys
from nix_autocache.nix.narinfo import fingerprint
from nix_autocache.nix.store import PathInfo
from nix_autocache.uploader.vouching import Vouching, objection
from tests.harness.paths import info

KEY, OTHER = keys.generate("trusted-1"), keys.generate("other-1")
BEGAN = 1000
MEANWHILE = 1001
TRUTH = fingerprint(info("path"))
CLOSED = Vouching(began=BEGAN, trusted=(KEY.public,))
OPEN = Vouching(began=BEGAN, trusted=None)


def signed(*signatures: str) -> PathInfo:
    return info("path", signatures=signatures, registered=MEANWHILE)


@pytest.mark.parametrize(
    ("given", "vouching", "built", "may"),
    [
        pytest.param(info("path", registered=MEANWHILE, ultimate=True), CLOSED, False, True, id="built by this Nix"),
        pytest.param(info("path", registered=MEANWHILE), CLOSED, True, True, id="the hook saw it built"),
        pytest.param(info("path", registered=MEANWHILE, ca="text:sha256:0"), CLOSED, False, True, id="its own hash"),
        pytest.param(info("path", registered=BEGAN), CLOSED, False, True, id="there before the job"),
        pytest.param(info("path", registered=MEANWHILE), CLOSED, False, False, id="imported meanwhile"),
        pytest.param(signed(KEY.sign(TRUTH)), CLOSED, False, True, id="signed with a trusted key"),
        pytest.param(signed(OTHER.sign(TRUTH), KEY.sign(TRUTH)), CLOSED, False, True, id="with two keys"),
        pytest.param(signed(OTHER.sign(TRUTH)), CLOSED, False, False, id="signed with another key"),
        pytest.param(signed(KEY.sign(b"1;other")), CLOSED, False, False, id="a signature of something else"),
        pytest.param(signed("trusted-1:AAAA", "no signature"), CLOSED, False, False, id="signatures that are none"),
        pytest.param(signed(OTHER.sign(TRUTH)), OPEN, False, True, id="any key where the user may add keys"),
        pytest.param(info("path", registered=MEANWHILE), OPEN, False, False, id="no key where the user may add keys"),
    ],
)
def test_a_path_is_signed_if_nix_vouches_for_it(given: PathInfo, vouching: Vouching, built: bool, may: bool) -> None:
    reason = objection(given, vouching, built=built)
    assert (reason == "") is may
    assert may or "nobody vouches" in reason


def test_a_job_whose_user_may_name_keys_is_open() -> None:
    assert OPEN.is_open
    assert not CLOSED.is_open
    assert not Vouching(began=BEGAN, trusted=()).is_open
