"""What the job's later steps are given: Nix on PATH, the variables of its profile, the outputs of this one."""

from __future__ import annotations

from pathlib import Path

from ..nix.find import find_nix
from ..nix.install.tarball import CERTIFICATE_FILE, PROFILE
from ..trust import policy
from . import report
from .context import Context
from .state import JobState


def export(context: Context, state: JobState) -> None:
    """Variables where this Nix is not the machine's own, and the outputs for the workflow."""
    if state.chosen.installs:
        _export_profile(context)
    if find_nix({"PATH": context.environ.get("PATH", "")}, profiles=False) is None:
        found = find_nix(context.environ)  # a profile rather than what it leads to now
        context.host.add_path(found.bin if found else Path(state.nix_bin))
    for name, value in _outputs(state).items():
        context.host.set_output(name, value)
    for line in report.limitations(state.unsolved):
        context.host.info(line)


def _export_profile(context: Context) -> None:
    """As the profile script of a Nix that was installed by hand does it. Source: nix-profile-daemon.sh of Nix."""
    own = Path(context.environ.get("HOME", "/root")) / ".nix-profile"
    if str(own / "bin") not in context.environ.get("PATH", ""):
        context.host.add_path(own / "bin")
    context.host.export("NIX_PROFILES", f"{PROFILE} {own}")
    if "NIX_SSL_CERT_FILE" not in context.environ and CERTIFICATE_FILE.exists():
        context.host.export("NIX_SSL_CERT_FILE", str(CERTIFICATE_FILE))


def _outputs(state: JobState) -> dict[str, str]:
    return {
        "mode": state.mode,
        "nix-version": state.nix.version(),
        "push": "true" if state.push else "false",
        "reason": state.reason,
        "substituter": state.cache,
        "limitations-solved": ",".join(str(number) for number in policy.LIMITATIONS if number not in state.unsolved),
    }
