"""The merge request for GitLab: a pipeline with the component, or a part that an existing pipeline includes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Protocol

from .. import build_commands
from ..build_commands import BuildCommands
from ..cache_setup import CACHE, PUBLIC_KEYS, ROLE, SIGNING_KEY, CacheSetup
from ..repository import BRANCH, Files, Proposal
from . import pipeline_text
from .existing_pipeline import ExistingPipeline

PART: Final = ".gitlab/nix-cache.yml"
_SECOND: Final = ".gitlab/nix-autocache.yml"  # where somebody has a file of the first name
HOME: Final = "gitlab.com"  # the server that has nix-autocache, and so its component
_PATH: Final = "nix-autocache/nix-autocache"
_IMAGE: Final = "python:3.13"
_HEAD: Final = "# Made by `nix-autocache init`. Everything that Nix builds here is cached while it is built.\n"


class Project(Files, Protocol):
    """What the files depend on: those that are there, the address of the server, and where the pipeline is."""

    @property
    def server(self) -> str: ...

    @property
    def pipeline(self) -> str: ...


def proposal(project: Project, setup: CacheSetup, commit: str, branch: str = "") -> Proposal:
    """The merge request; `commit` is that of nix-autocache. Of one that is open already, `branch` has the files, and
    people may have changed them. Raises Error if the project does not let us look."""
    commands = build_commands.find(project)
    before = project.read(project.pipeline, branch) or project.read(project.pipeline)
    whole = before is None or before.startswith(_HEAD)
    existing = ExistingPipeline("" if whole else before or "")
    theirs = project.read(PART) or _HEAD
    part = PART if theirs.startswith(_HEAD) or _PATH in theirs else _SECOND
    path = project.pipeline if whole else part
    ours = project.read(path, branch) or project.read(path) or ""
    files = {path: _updated(ours, _text(project, setup, commit, commands, existing))}
    changed = None if whole else existing.with_include(part)
    if changed is not None:
        files[project.pipeline] = changed
    reached = changed is not None or whole
    body = pipeline_text.body(
        setup=setup,
        branches=setup.branches or (project.default_branch,),
        commands=commands,
        files=tuple(files),
        part="" if whole else part,
        to_include="" if reached else project.pipeline,
        jobs=existing.nix_jobs(),
    )
    return Proposal(
        title="Cache what Nix builds, with nix-autocache", body=body, files=files, notes=pipeline_text.notes(setup)
    )


def _updated(before: str, text: str) -> str:
    """The text; of one that init has written before, only what it includes is new, since people add to the rest."""
    if not before.startswith(_HEAD):
        return text
    rest = before.partition("\n\n")[2]
    return text.partition("\n\n")[0] + "\n\n" + rest if re.match(r"[^\s-]", rest) else text


def _text(project: Project, setup: CacheSetup, commit: str, commands: BuildCommands, existing: ExistingPipeline) -> str:
    include = (
        f"component: $CI_SERVER_FQDN/{_PATH}/nix-autocache@{commit}"
        if project.server == f"https://{HOME}"
        else f"remote: https://{HOME}/{_PATH}/-/raw/{commit}/templates/nix-autocache/template.yml"
    )
    stage = existing.stage()
    job = "nix-cache" if not existing.has_key("nix-cache") else "nix-cache-build"
    runs = commands.commands or ("echo 'put the command here that builds with Nix, such as nix-build'",)
    lines = [
        "include:",
        f"  - {include}",
        "    inputs:",
        *(f"      {line}" for line in _inputs(setup, commit, commands)),
        "",
        f"{job}:",
        "  extends: .nix-autocache",
        f"  image: {_IMAGE} # any image with Python 3.11 or newer, pip or uv, and git",
        *([f"  stage: {stage}"] if stage != "test" else []),
        *(_rules(existing) if setup.cache else []),
        "  script:",
        *(f"    - {command}" for command in runs),
    ]
    return _HEAD + "".join(f"{line}\n" for line in lines)


def _inputs(setup: CacheSetup, commit: str, commands: BuildCommands) -> Iterator[str]:
    yield f"install: git+https://{HOME}/{_PATH}.git@{commit}"
    if commands.nix_path:
        yield f"extra-nix-conf: nix-path = {commands.nix_path}"
    if not setup.cache:
        return
    yield f"cache: ${CACHE}"
    yield f"public-keys: ${PUBLIC_KEYS}"
    yield f"signing-key: {setup.key_source or f'env:{SIGNING_KEY}'}"
    if setup.role:
        yield f"aws-role: ${ROLE}"
        yield f"oidc-audience: {setup.audience}"


def _rules(existing: ExistingPipeline) -> Iterator[str]:
    """The branch of the merge request tries the cache first. A job with rules would run in pipelines of branches and
    of merge requests, which are two for one commit, unless the pipeline's own `workflow` says otherwise."""
    yield "  rules:"
    for name in ("CI_COMMIT_BRANCH", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME")[: 2 if existing.has_key("workflow") else 1]:
        yield f'    - if: ${name} == "{BRANCH}"'
        yield "      variables:"
        yield '        NIX_AUTOCACHE_CHECK: "true"'
    if existing.has_key("workflow"):
        yield "    - when: on_success"
    else:
        yield "    - if: $CI_COMMIT_BRANCH || $CI_COMMIT_TAG"
