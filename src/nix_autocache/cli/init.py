"""`nix-autocache init`: make what a repository needs for a cache, from the bucket to the pull request."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from ..errors import RunnerError
from ..job.context import Context

if TYPE_CHECKING:
    import argparse

    from ..onboarding.plan import Plan
    from ..onboarding.terminal import Terminal

_PACKAGES: Final = ("boto3", "github", "gitlab", "rich")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `init`, beside --json."""
    add = parser.add_argument
    add("--repository", metavar="OWNER/NAME", help="default: the remote `origin` of this checkout")
    add("--host", metavar="{github,gitlab}", help="where the server's name does not say it")
    add("--cache", metavar="URL", help="s3:// or gs://, as Nix writes it; default: the cache that the CI host keeps")
    add("--credentials", metavar="{role,keys}", help="of jobs, for AWS; default: role, and keys for other servers")
    add("--key-name", metavar="NAME", help="of a new signing key; default: OWNER-NAME-1")
    add("--key-in", metavar="PLACE", help="aws-ssm:/NAME, or secret; default: where the credentials fit it")
    add("--branch", metavar="NAME", action="append", help="may push, beside others; default: the default branch")
    add("--rotate", metavar="{week,month}", help="a throwaway cache: a new one each week or month, the old ones go")
    add("--public", action="store_true", help="let everybody read the bucket")
    add(
        "--action-ref", metavar="COMMIT", help="of nix-autocache, for the workflow; default: the commit of this program"
    )
    add("--new-key", action="store_true", help="replace a signing key whose public half nobody knows")
    add("--rotate-key", action="store_true", help="a new signing key beside the old one, which stays trusted")
    add("--undo", action="store_true", help="remove what init made; never a bucket that holds something")
    add("--dry-run", action="store_true", help="show the plan and the files, and change nothing")
    add("--yes", action="store_true", help="do not ask")


def init(context: Context, flags: SimpleNamespace) -> None:
    """Show the plan, ask once, and carry it out. Raises Error."""
    try:
        _init(context, flags)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; run the same again, it goes on where it stopped") from None


def _init(context: Context, flags: SimpleNamespace) -> None:
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise RunnerError(f"init needs {', '.join(missing)}; install it with `pipx install 'nix-autocache[init]'`")
    from ..onboarding import plan, steps
    from ..onboarding.options import Options
    from ..onboarding.terminal import terminal

    shown = terminal(as_json=flags.json)
    made = plan.make(Options.of_flags(flags), Path.cwd(), context.environ)
    for note in made.notes:
        shown.info(note)
    if flags.undo:
        _undo(made, shown, flags)
        return
    changes = steps.plan(made.steps, shown)
    if flags.dry_run:
        _show_files(made, shown)
    elif not changes:
        shown.info("everything is as it should be")
    elif flags.yes or shown.ask("Carry it out?"):
        steps.carry_out(made.steps, shown)
        shown.info("Next: read and merge the request. The second run of its job builds nothing")
    else:
        shown.info("nothing was changed")


def _undo(made: Plan, shown: Terminal, flags: SimpleNamespace) -> None:
    from ..onboarding import steps

    for step in reversed(made.steps):
        shown.planned(step.thing, "remove", "", ())
    if not flags.dry_run and (flags.yes or shown.ask("Remove these, where init made them?")):
        steps.undo(made.steps, shown)


def _show_files(made: Plan, shown: Terminal) -> None:
    for path, text in made.proposal.files.items():
        shown.info(f"--- {path}")
        shown.info(text)
    shown.info("--- the text of the pull request")
    shown.info(made.proposal.body)
