"""The pull request for GitHub: the workflow of the cache, and existing workflows with our step in place of others."""

from __future__ import annotations

import json
import re
from typing import Final

from .. import build_commands
from ..build_commands import BuildCommands
from ..cache_setup import CacheSetup
from ..repository import BRANCH, Files, Proposal
from . import replaced_steps, workflow_text
from .action_step import ACTION, ActionStep, indented
from .updated_workflow import updated

WORKFLOW: Final = ".github/workflows/nix-cache.yml"
_SECOND: Final = ".github/workflows/nix-autocache.yml"  # where somebody has a workflow of the first name
_CHECKOUT: Final = "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2"
_HEAD: Final = "# Made by `nix-autocache init`. Everything that Nix builds here is cached while it is built."
_CHECKED: Final = f"github.event_name == 'workflow_dispatch' || github.head_ref == '{BRANCH}'"


def proposal(repository: Files, setup: CacheSetup, commit: str, branch: str = "") -> Proposal:
    """The pull request; `commit` is that of nix-autocache. Of one that is open already, `branch` has the files, and
    people may have changed them. Raises Error if the repository does not let us look."""
    branches = setup.branches or (repository.default_branch,)
    step = ActionStep(setup=setup, commit=commit, branches=branches)
    commands = build_commands.find(repository)
    name, before = _ours(repository, branch)
    files = {name: (updated(before, step, _CHECKED) if before else None) or workflow(step, commands)}
    edits = {path: replaced_steps.replace(path, text, step) for path, text in _workflows(repository, name)}
    for path, edit in edits.items():
        if edit.replaced:
            theirs = (branch and repository.read(path, branch)) or ""
            is_replaced = ACTION in theirs and not replaced_steps.replace(path, theirs, step).replaced
            files[path] = theirs if is_replaced else edit.text
    body = workflow_text.body(step, name, commands, edits)
    return Proposal(title="Cache what Nix builds, with nix-autocache", body=body, files=files)


def _ours(repository: Files, branch: str) -> tuple[str, str]:
    """The path of our workflow, and its text of an earlier time. One of its name that is somebody else's stays."""
    first, second = (repository.read(path, branch) or repository.read(path) or "" for path in (WORKFLOW, _SECOND))
    is_ours = not first or first.startswith(_HEAD) or ACTION in first
    return (WORKFLOW, first) if is_ours and not second.startswith(_HEAD) else (_SECOND, second)


def workflow(step: ActionStep, commands: BuildCommands) -> str:
    """The text of the workflow."""
    conf = [f"nix-path = {commands.nix_path}"] if commands.nix_path else []
    runs = commands.commands or ("echo 'put the command here that builds with Nix, such as nix-build'",)
    token = ["    permissions:", "      contents: read", "      id-token: write # AWS gives the role for this token"]
    lines = [
        _HEAD,
        "name: nix-cache",
        "on:",
        "  push:",
        f"    branches: {json.dumps([_escaped(branch) for branch in step.branches], ensure_ascii=False)}",
        "  pull_request:",
        "  workflow_dispatch: # tries the cache, and says what does not work",
        "permissions:",
        "  contents: read",
        "",
        "jobs:",
        "  build:",
        "    runs-on: ubuntu-24.04",
        *(token if step.setup.role else []),
        "    steps:",
        f"      - uses: {_CHECKOUT}",
        "        with:",
        "          persist-credentials: false",
        f"      - {step.uses}",
        *indented(8, "with", step.inputs(conf, _CHECKED)),
        *indented(8, "env", step.environment),
        *(f"      - run: {command}" for command in runs),
    ]
    return "".join(f"{line}\n" for line in lines)


def _escaped(branch: str) -> str:
    """The pattern for one branch: of the letters that a branch may have, these mean something to GitHub."""
    return re.sub(r"[+!\]]", r"\\\g<0>", branch)


def _workflows(repository: Files, ours: str) -> list[tuple[str, str]]:
    """Path and text of each other workflow."""
    paths = (name for name in sorted(repository.names()) if name.startswith(".github/workflows/") and name != ours)
    found = ((path, repository.read(path)) for path in paths if path.endswith((".yml", ".yaml")))
    return [(path, text) for path, text in found if text]
