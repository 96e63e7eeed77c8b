"""The mode table: which row fits which machine, those that no test can have included."""

from pathlib import Path

import pytest

from nix_autocache.errors import RunnerError
from nix_autocache.machine.modes import Mode, decide
from nix_autocache.machine.observe import Facts
from nix_autocache.settings import ModeInput
from nix_autocache.system.dataclass import replace
from tests.harness.samples import BARE_MACHINE

MAC = replace(BARE_MACHINE, system="Darwin", systemd=False, namespaces=None, nix=Path("/nix/bin"), daemon="answers")


@pytest.mark.parametrize(
    ("seen", "mode"),
    [
        (BARE_MACHINE, Mode.MULTI_USER),
        (replace(BARE_MACHINE, users_can_be_made=False, nix_can_be_made=True), Mode.SINGLE_USER),
        (replace(BARE_MACHINE, nix=Path("/usr/bin"), daemon="answers"), Mode.EXISTING_DAEMON),
        (replace(BARE_MACHINE, nix=Path("/usr/bin"), daemon="silent", ours="multi-user"), Mode.MULTI_USER),
        (MAC, Mode.EXISTING_DAEMON),
        (replace(MAC, sudo=False, trusted=True), Mode.EXISTING_TRUSTED),
        (replace(MAC, sudo=False), Mode.EXISTING_SCAN),
        (replace(MAC, daemon="none", store_writable=True), Mode.EXISTING_SINGLE_USER),
    ],
)
def test_a_machine_gets_the_first_row_that_fits(seen: Facts, mode: Mode) -> None:
    assert decide(seen, "auto").mode is mode


@pytest.mark.parametrize("wanted", ["auto", "multi-user", "single-user", "existing"])
def test_a_mac_without_nix_is_told_which_action_to_put_before(wanted: ModeInput) -> None:
    bare = replace(MAC, root=True, nix=None, daemon="none", users_can_be_made=True, nix_can_be_made=True)
    with pytest.raises(RunnerError, match=r"put cachix/install-nix-action before this step"):
        decide(bare, wanted)


def test_a_mac_whose_nix_cannot_be_used_is_told_why() -> None:
    with pytest.raises(RunnerError, match=r"put this user into the daemon's allowed-users"):
        decide(replace(MAC, sudo=False, daemon="refused"), "auto")


def test_the_best_row_of_the_mode_that_was_asked_for_is_taken() -> None:
    root = replace(BARE_MACHINE, root=True, sudo=False, nix_can_be_made=True)
    assert decide(root, "single-user").mode is Mode.SINGLE_USER
    with pytest.raises(RunnerError, match="mode: existing was asked for, but this machine has: no Nix"):
        decide(root, "existing")
