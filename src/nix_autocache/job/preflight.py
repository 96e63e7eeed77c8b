"""What a user should know of a machine that can be used, but not as well as it could."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .. import __version__, settings
from ..machine.modes import Mode
from ..nix import conf_check
from ..nix.store import Nix
from .context import Context
from .plan import SetupPlan
from .report import size

_ENOUGH: Final = 2_000_000_000  # bytes that should be free


def warn(context: Context, plan: SetupPlan) -> None:
    """A warning for each thing that makes this machine or these inputs worse than they could be."""
    if plan.rule.mode is not Mode.MANAGED:  # there the machine's own cache is read
        _warn_of_reading(context, plan)
    if plan.rule.mode.installs and not plan.facts.namespaces:
        context.host.warning(
            "builds are not sandboxed (sandbox = false): this container allows no namespaces; "
            "a privileged one, or another runner, would"
        )
    then = "the store is scanned at the end of the job instead"
    if plan.rule.mode is Mode.EXISTING_SCAN:
        if plan.facts.daemon_outside:
            context.host.warning(
                f"{plan.rule.no_hook}: {then}; a Nix of the container's own would upload builds at once"
            )
        else:
            context.host.warning(
                f"the nix-daemon does not trust this user, so the hook cannot be set: {then}; put the user into "
                "trusted-users to have builds uploaded at once"
            )
    elif plan.no_hook:
        context.host.warning(f"{plan.no_hook}: {'not pushing' if plan.separate_user else then}")
    for sentence in settings.doubtful(context.environ):
        context.host.warning(sentence)
    if (url := context.settings.cache) and url.unused:
        context.host.warning(f"cache: {', '.join(url.unused)} changes nothing here: only `nix copy` knows it")
    for directory, free in _full(context):
        context.host.warning(f"only {size(free)} are free in {directory}: a build may fail of it")


def compare_versions(context: Context) -> None:
    """A warning if the host's template and this program are of different versions."""
    template = context.host.template_version
    if template and template != __version__:
        context.host.warning(
            f"the template is of nix-autocache {template}, and the program that it runs of {__version__}: include the "
            "component of that version, or leave out `install`"
        )


def _warn_of_reading(context: Context, plan: SetupPlan) -> None:
    destination = plan.destination
    if destination.wants_read_proxy and plan.reads_itself:
        text = f"{plan.reads_itself}: {destination.without_read_proxy}"
        if destination.url.row.kept_by_host and plan.verdict.push:
            context.host.warning(f"{text}, which is only written")
        else:
            context.host.info(text)
    if destination.is_unverified:
        context.host.warning(
            f"nothing of {destination.url} is read: only the uploader knows the signing key, which is in AWS, and no "
            "public-keys are given; write the key's public half there"
        )


def check_configuration(context: Context, nix: Nix) -> None:
    """Look at extra-nix-conf before Nix must read it. Raises InputError, with the line."""
    if text := context.settings.extra_nix_conf:
        for warning in conf_check.check(nix, text, "extra-nix-conf"):
            context.host.warning(warning)


def _full(context: Context) -> Iterator[tuple[Path, int]]:
    """The directories that we fill and that have little room, one for each file system."""
    seen = set()
    wanted = [Path("/nix"), context.paths.state]
    if directory := context.cache.directory if context.cache else context.embedded_cache.cache:
        wanted.append(directory)
    for directory in wanted:
        while not directory.exists():
            directory = directory.parent
        device = directory.stat().st_dev
        free = shutil.disk_usage(directory).free
        if device not in seen and free < _ENOUGH:
            yield directory, free
        seen.add(device)
