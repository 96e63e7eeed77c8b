"""The text of the merge request for GitLab, in Markdown: what each file and line is for, and what is left to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..build_commands import BuildCommands
from ..cache_setup import CACHE, PUBLIC_KEYS, ROLE, SIGNING_KEY, CacheSetup
from ..explanation import limitations, listed
from .existing_pipeline import Job

_FOURTH = (
    "not on this runner: GitLab gives a job's variables and tokens to its script as well. Others than those who can "
    "push to {branches} do not get them; a runner that is provisioned for nix-autocache solves it for these, too"
)
_PROTECTED = "only jobs on protected branches and tags get it; all others, and merge requests of forks, only fetch"


def body(
    *,
    setup: CacheSetup,
    branches: Sequence[str],
    commands: BuildCommands,
    files: Sequence[str],
    part: str,
    to_include: str,
    jobs: Sequence[Job],
) -> str:
    """The whole text. `part` is the file that holds our job, if it is not the whole pipeline; `to_include` is the
    pipeline into which a person must put it, if we could not; `jobs` are the project's own that run Nix."""
    where = f"`{setup.cache}`" if setup.cache else "the cache that GitLab keeps for a job"
    parts = [
        f"With this, everything that Nix builds in these jobs is in {where} as soon as it is built, and the next job "
        "fetches it instead.\n",
        limitations(setup, _FOURTH.format(branches=_quoted(branches))),
        listed("Files", _files(files, part, commands)),
        listed("The lines", _lines(setup, branches)),
        listed("To be done by hand", _by_hand(part, to_include, jobs)),
        listed("How it was tried", _trial(setup, branches)),
    ]
    return "\n".join(filter(None, parts))


def notes(setup: CacheSetup) -> tuple[str, ...]:
    """What the plan says of the secrets."""
    names = dict.fromkeys([*([] if setup.key_source or not setup.cache else [SIGNING_KEY]), *setup.secrets])
    return tuple(f"{name} is a protected variable: {_PROTECTED}" for name in names)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _files(files: Sequence[str], part: str, commands: BuildCommands) -> Iterator[str]:
    ours = part or files[0]
    if commands.commands:
        yield f"`{ours}` has a job that builds what {_quoted(commands.files)} has: {_quoted(commands.commands)}"
    else:
        yield f"`{ours}`: put your build into its last line; there is no flake.nix, default.nix or shell.nix"
    if commands.nix_path:
        yield f"`nix-path = {commands.nix_path}` in it is there because of `<nixpkgs>`; name the release that you want"
    if "flake.nix" not in commands.files and commands.commands:
        yield (
            "a derivation whose source is the whole directory (`src = ./.`) has `.nix-autocache` in it and is built "
            "again each time: use `lib.fileset.gitTracked`"
        )
    yield from (f"`{path}` includes `{part}`; nothing else in it was changed" for path in files if path != ours)


def _lines(setup: CacheSetup, branches: Sequence[str]) -> Iterator[str]:
    yield "`include` and `install`: the component and the program, pinned by their commit; to update, change both"
    if not setup.cache:
        return
    yield f"`cache`, `public-keys`: the project's variables `{CACHE}` and `{PUBLIC_KEYS}`, which are no secrets"
    if setup.key_source:
        yield f"`signing-key: {setup.key_source}`: the key is in AWS, and only the uploader reads it"
    else:
        yield f"`signing-key`: the project's variable `{SIGNING_KEY}`, masked, hidden and protected; {_PROTECTED}"
    if setup.role:
        yield f"`aws-role`: the role in `{ROLE}`, which AWS gives to jobs of {_quoted(branches)} only"
    if names := [name for name in setup.secrets if name != SIGNING_KEY]:
        yield f"{_quoted(names)} are such variables as well, and need no line"


def _by_hand(part: str, to_include: str, jobs: Sequence[Job]) -> Iterator[str]:
    if to_include:
        yield f"put `- local: {part}` into the list `include` of `{to_include}`: until then, `{part}` does nothing"
    for job in jobs:
        if job.sets:
            yield (
                f"the job `{job.name}` runs Nix and sets {_quoted(job.sets)} itself: take those of "
                "`.nix-autocache-steps` into it with `!reference`, as docs/gitlab.md of nix-autocache shows"
            )
        else:
            how = "add `.nix-autocache` to its `extends`" if job.extends else "add `extends: .nix-autocache`"
            yield f"the job `{job.name}` runs Nix: {how}, and what it builds is cached as well"
        yield from (f"the line `{line}` of `{job.name}` can then go" for line in job.uploads)


def _trial(setup: CacheSetup, branches: Sequence[str]) -> Iterator[str]:
    yield "GitLab has checked the pipeline of this branch, with all that it includes"
    if setup.cache:
        yield (
            "the pipeline of this branch tries to read the cache, no more, since the branch is not protected. After "
            f"the merge, run the pipeline by hand on `{branches[0]}` with the variable `NIX_AUTOCACHE_CHECK` set to "
            "`true`: it tries all the rest, and says what does not work"
        )
