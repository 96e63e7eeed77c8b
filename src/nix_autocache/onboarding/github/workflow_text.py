"""The text of the pull request for GitHub, in Markdown: what each file and line is for, and what is left to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..build_commands import BuildCommands
from ..cache_setup import CACHE, PUBLIC_KEYS, ROLE, SIGNING_KEY
from ..explanation import limitations, listed
from .action_step import ACTION, ActionStep
from .replaced_steps import Edit

_FOURTH = (
    "not yet: a later step that becomes root reaches the key. Add `harden: true` to the step of a job that needs "
    "neither sudo nor Docker"
)


def body(step: ActionStep, workflow: str, commands: BuildCommands, edits: Mapping[str, Edit]) -> str:
    """The whole text. `workflow` is the path of the new file, `edits` are those of other workflows."""
    where = f"`{step.setup.cache}`" if step.setup.cache else "the cache that GitHub keeps for this repository"
    replaced = [line for edit in edits.values() for line in edit.replaced]
    by_hand = [line for edit in edits.values() for line in edit.by_hand]
    parts = [
        f"With this, everything that Nix builds in these jobs is in {where} as soon as it is built, and the next job "
        "fetches it instead.\n",
        limitations(step.setup, _FOURTH),
        listed("Files", _files(workflow, commands, edits)),
        listed("The step's lines", _lines(step)),
        listed("Replaced, since the step installs Nix and caches its store", replaced),
        listed("To be done by hand", by_hand),
        listed("How it was tried", _trial(step)),
    ]
    return "\n".join(filter(None, parts))


def _files(workflow: str, commands: BuildCommands, edits: Mapping[str, Edit]) -> Iterator[str]:
    if commands.commands:
        runs = ", ".join(f"`{command}`" for command in commands.commands)
        yield f"`{workflow}` builds what {' and '.join(f'`{name}`' for name in commands.files)} has: {runs}"
    else:
        yield f"`{workflow}`: put your build into its last line; there is no flake.nix, default.nix or shell.nix"
    if commands.nix_path:
        yield f"`nix-path = {commands.nix_path}` in it is there because of `<nixpkgs>`; name the release that you want"
    yield from (f"`{path}` has the step in place of others" for path, edit in edits.items() if edit.replaced)


def _lines(step: ActionStep) -> Iterator[str]:
    setup = step.setup
    yield f"`{step.uses}`: the program, pinned by its commit; to update it, change the commit"
    if not setup.cache:
        return
    yield f"`cache`, `public-keys`: the repository's variables `{CACHE}` and `{PUBLIC_KEYS}`, which forks see, too"
    if setup.key_source:
        yield f"`signing-key: {setup.key_source}`: the key is in AWS, and only the uploader reads it"
    else:
        yield f"`signing-key`: the repository's secret `{SIGNING_KEY}`"
    if setup.role:
        branches = ", ".join(f"`{branch}`" for branch in step.branches)
        yield f"`aws-role`: the role in `{ROLE}`, which AWS gives to jobs of {branches} only, for their id token"
    if step.environment:
        names = ", ".join(f"`{name}`" for name in setup.secrets if name != SIGNING_KEY)
        yield f"`env`: {names}, from the repository's secrets, for this step alone"


def _trial(step: ActionStep) -> Iterator[str]:
    """What `check` can say in the pull request."""
    if step.setup.role:
        yield (
            "The run of this pull request tries to read; it has no role. After the merge, start the workflow "
            f"`nix-cache` by hand on `{step.branches[0]}`: it tries all the rest, and says what does not work."
        )
    else:
        yield (
            "The run of this pull request writes to the cache, reads it back, and tries what must be refused: see the "
            f"log of the step `{ACTION}`. To try again, start the workflow `nix-cache` by hand."
        )
