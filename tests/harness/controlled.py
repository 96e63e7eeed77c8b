"""A running server whose state a test changes while it runs."""

import json
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Controlled:
    """The server as a test in the same network sees it."""

    url: str
    network: Callable[[], AbstractContextManager[None]] = nullcontext

    def control(self, **changes: object) -> dict[str, Any]:
        """Change the state, and return it."""
        with self.network():
            request = urllib.request.Request(f"{self.url}/control", data=json.dumps(changes).encode())
            answer: dict[str, Any] = json.load(urllib.request.urlopen(request, timeout=10))
        return answer
