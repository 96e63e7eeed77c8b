"""Nix told of cache and hook, and then asked what it really uses: another file or variable may take our lines away.

What a file of the user's takes away is said again in that file; what cannot be mended is a warning that names who
set it. `look_again` does the same at the end of a job, since a later step may have changed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from ..errors import RunnerError
from ..machine import paths
from ..machine.observe import Facts
from ..nix import effective
from ..nix.store import Nix
from .context import Context
from .destination import Destination
from .nix_conf import cache_lines, is_ignored, lacking, register, settings_of
from .state import JobState

_WHAT: Final = {
    "extra-substituters": "Nix does not read the cache: its `substituters` lack",
    "extra-trusted-public-keys": "Nix does not trust what is in the cache: its `trusted-public-keys` lack",
}


def tell_nix(context: Context, state: JobState, place: Destination, seen: Facts) -> JobState:
    """Register the job. Where Nix cannot be told, the job goes on with what is left: a look at the store at its end.

    Raises RunnerError where we installed Nix ourselves, or where the job is hardened.
    """
    try:
        register(context, state, place, seen)
    except RunnerError as error:
        if state.chosen.installs or state.apart:
            raise
        lost = " and what is built is looked for at the end of the job" if state.push else ""
        context.host.warning(f"{error}; the job goes on without{lost}")
        if state.push and not state.scan:
            return state.scanning(str(error))
    return state


def check(context: Context, state: JobState, place: Destination, seen: Facts) -> JobState:
    """Say everything that Nix does not heed; the state knows what it reads."""
    wanted = cache_lines(state, place)
    _say_unread(context, state, place)
    if "NIX_USER_CONF_FILES" in context.environ and (named := context.own_places.config).include.exists():
        context.host.info(f"NIX_USER_CONF_FILES: Nix is told of the cache in {named.main}")
    settings = settings_of(state, seen, context.environ)
    lost = lacking(wanted, settings)
    for line in lost:
        context.host.warning(_sentence(line, settings, _why(context, state, seen, line)))
    urls = [url for name, _, url in (line.partition(" = ") for line in wanted) if name == "extra-substituters"]
    own = {} if is_ignored(state, seen) else settings
    return replace(
        state,
        reads=tuple(effective.without_passwords(url) for url in urls if effective.lists(own, "substituters", url)),
    )


def _say_unread(context: Context, state: JobState, place: Destination) -> None:
    if not (place.unsigned or state.unread or state.reader_port or place.url.is_read_by_nix):
        offered = "give its HTTPS URL as `extra-substituters` in `extra-nix-conf`"
        context.host.info(f"Nix cannot read {place.url.without_params}; {offered}")
    keyed = place.public_keys or place.unsigned or (state.push and place.key_source.is_in_aws)
    if not keyed:  # where the key is in AWS, the uploader will say which
        context.host.info("no public-keys are given: Nix will not trust what is in the cache")


def look_again(context: Context, state: JobState) -> None:
    """At the end of a job: warn of a cache that Nix read at the beginning and does not read any more."""
    settings = effective.of_client(Nix(Path(state.nix_bin)), context.environ)
    for line in lacking([f"extra-substituters = {url}" for url in state.reads], settings):
        why = "a later step changed Nix's settings after set-up: let it write"
        context.host.warning(_sentence(line, settings, why))


def _sentence(line: str, settings: Mapping[str, str], why: str) -> str:
    name, _, value = line.partition(" = ")
    plain = name.removeprefix("extra-")
    text = f"{_WHAT[name]} {value} (now: {settings.get(plain) or 'empty'}); {why} `{line}`"
    return effective.without_passwords(text)


def _why(context: Context, state: JobState, seen: Facts, line: str) -> str:
    """Why Nix does not heed a line, as far as can be told, and where to write it."""
    name = line.partition(" = ")[0].removeprefix("extra-")
    environ = context.environ
    where = paths.machine(environ) if state.chosen.daemon else context.places
    if is_ignored(state, seen):
        return "the daemon does not trust this user: put the user into its trusted-users, or into its nix.conf"
    if any(text.partition("=")[0].strip() == name for text in environ.get("NIX_CONFIG", "").splitlines()):
        return "NIX_CONFIG in the environment of this job sets them: write there"
    if not where.config.include.exists():
        manages = " (NIX_USER_CONF_FILES names it)" if "NIX_USER_CONF_FILES" in environ else ""
        return f"this job can change no nix.conf: write into the one that you manage{manages}"
    if "NIX_USER_CONF_FILES" in environ:
        return "NIX_USER_CONF_FILES names the files that set them: write there"
    return "a file that Nix reads after ours sets them: write there"
