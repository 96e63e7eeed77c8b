"""What every step is given: the inputs, the CI host, and the environment, which nothing below reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .destination import Destination, destination
from .places import JobPlace, Places, places
from .platforms import Platform
from .settings import Settings


@dataclass(frozen=True)
class Context:
    """One run of one verb."""

    settings: Settings
    platform: Platform
    environ: Mapping[str, str]

    @property
    def places(self) -> Places:
        return places(self.environ)

    @property
    def job(self) -> JobPlace:
        return self.places.job(self.platform.job())

    def destination(self) -> Destination:
        return destination(self.settings, self.places)

    def is_dry_run(self, place: Destination) -> bool:
        if self.settings.dry_run is not None:
            return self.settings.dry_run
        return self.platform.dry_run_by_default() and not place.key_source
