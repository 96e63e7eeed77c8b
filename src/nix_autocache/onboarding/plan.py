"""The whole plan of an `init`: the repository, the storage and the pull request, from the flags."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from ..errors import InputError
from ..system import version
from ..system.dataclass import dataclass
from .hosts import HOSTS, find
from .hosts import connect as connect_to
from .options import Options
from .proposal_step import ProposalStep
from .repository import BRANCH, Proposal
from .steps import Step
from .storage import Request, plan_storage


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Steps in order, the pull request that is the last of them, and lines that are said first."""

    steps: tuple[Step, ...]
    proposal: Proposal
    notes: tuple[str, ...]


def make(options: Options, directory: Path, environ: Mapping[str, str]) -> Plan:
    """The plan for the repository that `directory` is a checkout of, or that the flags name. Changes nothing.

    Raises InputError for flags that do not fit, and Error if a service does not let us look.
    """
    place = find(options, directory)
    repository = connect_to(place, environ)
    storage = plan_storage(Request(options=options, place=place, repository=repository, environ=environ))
    writer = import_module(f".{HOSTS[place.host].files}", __package__)
    branch = BRANCH if repository.proposal() else ""
    proposal: Proposal = writer.proposal(repository, storage.setup, _commit(options), branch)
    return Plan(
        steps=(*storage.steps, ProposalStep(repository, proposal)),
        proposal=proposal,
        notes=(f"{place.server}/{repository.name}", *storage.notes, *proposal.notes),
    )


def _commit(options: Options) -> str:
    """The commit that pins this program in what is written: the flag's, or its own. To undo, it may be unknown."""
    commit = options.action_ref or version.commit()
    if not commit and not options.undo:
        raise InputError(
            "--action-ref: this build does not know its own commit, by which the workflow must pin nix-autocache; "
            "give the 40 digits of a commit of nix-autocache"
        )
    return commit
