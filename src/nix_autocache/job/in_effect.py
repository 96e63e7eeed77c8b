"""What Nix really uses, asked after set-up: another file or variable may take our lines away.

What registration could not mend is a warning that names the file or variable. `ask_again` does the same at the end of a
job, since a later step may have changed Nix's settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ..machine.observe import Facts
from ..nix import effective
from ..system import threads
from ..system.dataclass import replace
from .context import Context
from .destination import Destination
from .nix_conf import cache_lines, is_ignored, job_paths, lacking, settings_in_effect
from .state import JobState

_WHAT: Final = {
    "extra-substituters": "Nix does not read the cache: its `substituters` lack",
    "extra-trusted-public-keys": "Nix does not trust what is in the cache: its `trusted-public-keys` lack",
}


def check(context: Context, state: JobState, destination: Destination, facts: Facts) -> JobState:
    """Warn of each line that Nix does not heed; returns the state with the substituters that it reads."""
    wanted = cache_lines(state, destination)
    _say_unread(context, state, destination)
    if "NIX_USER_CONF_FILES" in context.environ and (named := context.own_paths.config).include.exists():
        context.host.info(f"NIX_USER_CONF_FILES: Nix is told of the cache in {named.main}")
    settings = settings_in_effect(state, facts, context.environ)
    lost = lacking(wanted, settings)
    for line in lost:
        context.host.warning(_sentence(line, settings, _why(context, state, facts, line)))
    urls = [url for name, _, url in (line.partition(" = ") for line in wanted) if name == "extra-substituters"]
    own = {} if is_ignored(state, facts) else settings
    return replace(
        state,
        reads=tuple(effective.without_passwords(url) for url in urls if effective.lists(own, "substituters", url)),
    )


def _say_unread(context: Context, state: JobState, destination: Destination) -> None:
    hidden = state.unread or destination.unsigned or destination.url.row.kept_by_host  # there is no URL of it to offer
    if not (hidden or state.reader or destination.url.is_read_by_nix):
        offered = "give its HTTPS URL as `extra-substituters` in `extra-nix-conf`"
        context.host.info(f"Nix cannot read {destination.url.without_params}; {offered}")
    keyed = destination.public_keys or destination.unsigned or (state.push and destination.key_source.is_in_aws)
    if not keyed:  # where the key is in AWS, the uploader will say which
        context.host.info("no public-keys are given: Nix will not trust what is in the cache")


def ask_again(context: Context, state: JobState) -> Callable[[], None]:
    """At the end of a job: ask Nix in the background, since it takes a fifth of a second.

    Call what is returned before our lines go from nix.conf: it waits for the answer, and warns of a cache that Nix read
    at the beginning and does not read any more.
    """
    answers: list[Mapping[str, str]] = []

    def ask() -> None:
        answers.append(effective.of_client(state.nix, context.environ))

    asking = threads.start(ask, "settings")

    def warn() -> None:
        if asking:
            asking.join()
        for settings in answers:
            for line in lacking([f"extra-substituters = {url}" for url in state.reads], settings):
                why = "a later step changed Nix's settings after set-up: let it write"
                context.host.warning(_sentence(line, settings, why))

    return warn


def _sentence(line: str, settings: Mapping[str, str], why: str) -> str:
    name, _, value = line.partition(" = ")
    plain = name.removeprefix("extra-")
    text = f"{_WHAT[name]} {value} (now: {settings.get(plain) or 'empty'}); {why} `{line}`"
    return effective.without_passwords(text)


def _why(context: Context, state: JobState, facts: Facts, line: str) -> str:
    """Why Nix does not heed a line, as far as can be told, and where to write it."""
    name = line.partition(" = ")[0].removeprefix("extra-")
    environ = context.environ
    if is_ignored(state, facts):
        return "the daemon does not trust this user: put the user into its trusted-users, or into its nix.conf"
    if any(text.partition("=")[0].strip() == name for text in environ.get("NIX_CONFIG", "").splitlines()):
        return "NIX_CONFIG in the environment of this job sets them: write there"
    if not job_paths(context, state).config.include.exists():
        manages = " (NIX_USER_CONF_FILES names it)" if "NIX_USER_CONF_FILES" in environ else ""
        return f"this job can change no nix.conf: write into the one that you manage{manages}"
    if "NIX_USER_CONF_FILES" in environ:
        return "NIX_USER_CONF_FILES names the files that set them: write there"
    return "a file that Nix reads after ours sets them: write there"
