"""The nix.conf lines that a job needs: the cache, its keys, the hook, and the user's own `extra-nix-conf`.

Only computes them; `registration` applies them. What is secret goes into the user's own file, not the machine's.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ..machine import paths
from ..machine.modes import Mode
from ..machine.paths import Paths
from ..nix import effective, secret_lines
from ..nix.access_tokens import access_tokens
from ..queue import hook
from ..system import users
from .context import Context
from .destination import Destination
from .state import JobState

if TYPE_CHECKING:
    from ..machine.observe import Facts

_CONNECTIONS: Final = 128  # of Nix to the read proxy, which answers many questions at once; Nix's default is 25


def job_paths(context: Context, state: JobState) -> Paths:
    """Where the job's lines, hook and queue lie: the machine's paths where we see to its daemon."""
    return paths.machine(context.environ) if state.chosen.daemon else context.paths


def has_own_file(context: Context, state: JobState) -> bool:
    """Whether this user's configuration is another file than the one that the job's lines go to."""
    return job_paths(context, state).conf_file != context.own_paths.conf_file


def lines(context: Context, state: JobState, facts: Facts, cache: Sequence[str]) -> list[str]:
    """The lines for the file that the hook is registered in; `cache` are those of `heeded_cache_lines`."""
    # Without fallback a build fails when the cache does; extra-nix-conf, which comes later, may say so.
    found = ["fallback = true", *_mode_lines(context, state, facts)]
    if state.reader and not is_ignored(state, facts):
        found.append(f"http-connections = {_CONNECTIONS}")
    given = context.settings.extra_nix_conf.splitlines()
    if has_own_file(context, state):
        found += [line for line in given if not secret_lines.is_for_fetches(line)]
    else:
        found += given + _token_lines(context)
    found += cache
    if (theirs := _own_hook(context, state)) is not None:
        found.append(f"{hook.SETTING} = {theirs}")  # our hook calls it
    return found


def own_lines(context: Context) -> list[str]:
    """The lines for this user's own file, where the job's lines go to the machine's: tokens and passwords."""
    given = context.settings.extra_nix_conf.splitlines()
    secret = [line for line in given if secret_lines.is_secret(line) and secret_lines.is_for_users(line)]
    return secret + _token_lines(context)


def lines_on_managed_machine(context: Context) -> list[str]:
    """The lines for this user's own file on a managed machine, where all else is the machine's."""
    return [*context.settings.extra_nix_conf.splitlines(), *_token_lines(context)]


def cache_lines(state: JobState, destination: Destination) -> list[str]:
    """What makes Nix read the cache, and the caches beside it."""
    found = [f"extra-substituters = {url}" for url in destination.substituters]
    if state.reader and not state.unread:
        found.append(f"extra-substituters = {state.reader.url}{destination.url.reading_query}")
    elif destination.is_read_by_nix and not state.unread:
        periods = filter(None, (destination.url, destination.previous))
        found += [f"extra-substituters = {url.substituter}" for url in periods]
    keys = " ".join(map(str, destination.public_keys))
    return [*found, f"extra-trusted-public-keys = {keys}"] if keys else found


def heeded_cache_lines(state: JobState, destination: Destination, facts: Facts) -> list[str]:
    """Without the lines that the daemon ignores: Nix would warn of them at each command."""
    found = cache_lines(state, destination)
    if not is_ignored(state, facts):
        return found
    known = settings_in_effect(state, facts, {})
    return [line for line in found if line.startswith("extra-substituters ") and not lacking([line], known)]


def settings_in_effect(state: JobState, facts: Facts, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The settings of this job's builds: the daemon's own where it does not trust this user."""
    if not is_ignored(state, facts):
        return effective.of_client(state.nix, environ)
    settings = dict(effective.of_machine(state.nix))
    for name in ("substituters", "trusted-substituters") if settings else ():
        settings["substituters"] = f"{settings.get('substituters', '')} {settings.get(name, '')}"
    return settings


def is_ignored(state: JobState, facts: Facts) -> bool:
    """Whether the daemon ignores what this user configures, but for substituters that it knows."""
    return state.chosen is Mode.EXISTING_SCAN and not facts.trusted


def lacking(lines: Iterable[str], settings: Mapping[str, str]) -> list[str]:
    """Those of our lines that Nix does not heed, given the settings in effect; none where Nix did not answer."""
    lost = []
    for name, _, value in (line.partition(" = ") for line in lines if settings):
        plain = name.removeprefix("extra-")
        if name == hook.SETTING and settings.get(name) != value:
            lost.append(f"{name} = {value}")
        elif name != plain:
            missing = [item for item in value.split() if not effective.lists(settings, plain, item)]
            lost += [f"{name} = {' '.join(missing)}"] if missing else []
    return lost


def _own_hook(context: Context, state: JobState) -> str | None:
    """A hook of the user's own configuration, which the machine's would hide from Nix."""
    if not has_own_file(context, state) or context.settings.harden:
        return None
    return context.own_paths.config.foreign_value(hook.SETTING) or None


def _mode_lines(context: Context, state: JobState, facts: Facts) -> list[str]:
    found = []
    if state.chosen.installs:
        found.append("extra-experimental-features = nix-command flakes")
        # Without it, a single-user Nix that runs as root looks for build users.
        found.append("build-users-group =" + (f" {users.GROUP}" if state.chosen is Mode.MULTI_USER else ""))
        if not facts.namespaces:
            found.append("sandbox = false")
    if context.settings.harden and state.chosen.daemon:
        found += ["trusted-users = root", "require-sigs = true", "sandbox-fallback = false"]
    elif state.chosen.daemon and not facts.root:
        # This user can become root anyway.
        found.append(f"extra-trusted-users = {pwd.getpwuid(os.geteuid()).pw_name}")
    return found


def _token_lines(context: Context) -> list[str]:
    text = context.settings.github_token
    if not text:
        return []
    return [f"extra-{secret_lines.ACCESS_TOKENS} = {access_tokens(text, context.host.token_server())}"]
