"""A job's secrets, read once and kept out of its log. `uploader/secrets.py` reads them."""

from __future__ import annotations

from ..nix.key_source import KeySource
from ..system.dataclass import replace
from ..uploader.secrets import Secrets
from .context import Context
from .destination import Destination


def read(context: Context, destination: Destination, *, and_remove_files: bool = False) -> Secrets:
    """Read and mask them. A dry run that lacks credentials has no key. Raises InputError as `SecretSources.read`."""
    sources = context.secret_sources(destination)
    if context.lacks(destination):
        sources = replace(sources, key=KeySource())
    secrets = sources.read(and_remove_files=and_remove_files)
    if secrets.key.is_text:
        context.host.mask(str(secrets.key))
    return secrets
