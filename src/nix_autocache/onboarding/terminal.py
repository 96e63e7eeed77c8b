"""What `init` and `check` show: with colours where a person looks at a terminal, plain lines elsewhere, or JSON.

rich is loaded on terminals only. With `--json` each event is an object on a line of its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import Protocol

from ..errors import InputError, without_secrets


class Terminal(Protocol):
    """Where a command shows what it does. Secrets in a text are not shown."""

    def info(self, text: str) -> None:
        """A line of text."""

    def warning(self, text: str) -> None:
        """A line that the user should not overlook."""

    def planned(self, thing: str, verb: str, why: str, details: Sequence[str]) -> None:
        """A row of the plan: `verb` is make, change or keep."""

    def working(self, thing: str) -> AbstractContextManager[None]:
        """Show that this is being done, for as long as the block runs."""

    def done(self, thing: str, word: str, note: str) -> None:
        """The outcome of a step: made, changed, kept, removed."""

    def checked(self, what: str, *, works: bool | None, advice: str) -> None:
        """A row of the table of `check`; `works` is None for what was not tried."""

    def ask(self, question: str) -> bool:
        """True for yes. Raises InputError where nobody can answer."""


_MARKS: dict[bool | None, str] = {True: "yes", False: "NO", None: "not tried"}


class PlainTerminal:
    """Lines of text, for logs and pipes."""

    def info(self, text: str) -> None:
        print(without_secrets(text), flush=True)

    def warning(self, text: str) -> None:
        self.info(f"warning: {text}")

    def planned(self, thing: str, verb: str, why: str, details: Sequence[str]) -> None:
        self.info(f"  {verb:<8} {thing}{f': {why}' if why else ''}")
        for line in details:
            self.info(f"           {line}")

    def working(self, thing: str) -> AbstractContextManager[None]:
        return nullcontext()

    def done(self, thing: str, word: str, note: str) -> None:
        self.info(f"  {word:<8} {thing}{f': {note}' if note else ''}")

    def checked(self, what: str, *, works: bool | None, advice: str) -> None:
        self.info(f"  {_MARKS[works]:<10} {what}{f': {advice}' if advice else ''}")

    def ask(self, question: str) -> bool:
        if not sys.stdin.isatty():
            raise InputError(
                f"{question} Nobody can answer here: give --yes to go on, or --dry-run to see the plan only"
            )
        try:
            return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
        except EOFError:  # Ctrl-D
            return False


class ColourTerminal(PlainTerminal):
    """The same with colours, and a sign of life while a service is asked."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False)

    def info(self, text: str) -> None:
        self._console.print(without_secrets(text), markup=False, soft_wrap=True)

    def warning(self, text: str) -> None:
        self._console.print(without_secrets(f"warning: {text}"), style="yellow", markup=False, soft_wrap=True)

    def planned(self, thing: str, verb: str, why: str, details: Sequence[str]) -> None:
        self._row(verb, {"make": "green", "change": "yellow"}.get(verb, "dim"), thing, why, 8)
        for line in details:
            self._console.print(without_secrets(f"           {line}"), style="dim", markup=False, soft_wrap=True)

    @contextmanager
    def _spinning(self, thing: str) -> Iterator[None]:
        with self._console.status(without_secrets(thing)):
            yield

    def working(self, thing: str) -> AbstractContextManager[None]:
        return self._spinning(thing)

    def done(self, thing: str, word: str, note: str) -> None:
        self._row(word, {"made": "green", "changed": "yellow", "removed": "yellow"}.get(word, "dim"), thing, note, 8)

    def checked(self, what: str, *, works: bool | None, advice: str) -> None:
        self._row(_MARKS[works], {True: "green", False: "bold red", None: "dim"}[works], what, advice, 10)

    def _row(self, word: str, style: str, text: str, note: str, width: int) -> None:
        from rich.text import Text

        line = Text(f"  {word:<{width}} ", style=style)
        line.append(without_secrets(f"{text}{f': {note}' if note else ''}"), style="default")
        self._console.print(line, soft_wrap=True)


class JsonTerminal:
    """One JSON object a line, for programs."""

    def info(self, text: str) -> None:
        self._say({"event": "info", "text": text})

    def warning(self, text: str) -> None:
        self._say({"event": "warning", "text": text})

    def planned(self, thing: str, verb: str, why: str, details: Sequence[str]) -> None:
        self._say({"event": "planned", "thing": thing, "verb": verb, "why": why, "details": list(details)})

    def working(self, thing: str) -> AbstractContextManager[None]:
        return nullcontext()

    def done(self, thing: str, word: str, note: str) -> None:
        self._say({"event": "done", "thing": thing, "outcome": word, "note": note})

    def checked(self, what: str, *, works: bool | None, advice: str) -> None:
        self._say({"event": "checked", "what": what, "works": works, "advice": advice})

    def ask(self, question: str) -> bool:
        raise InputError(
            f"{question} With --json nobody is asked: give --yes to go on, or --dry-run to see the plan only"
        )

    def _say(self, event: Mapping[str, object]) -> None:
        print(without_secrets(json.dumps(event)), flush=True)


def terminal(*, as_json: bool) -> Terminal:
    """The one for this process's standard output."""
    if as_json:
        return JsonTerminal()
    has_colours = sys.stdout.isatty() and find_spec("rich") is not None  # `check` runs without the extra `init`
    return ColourTerminal() if has_colours else PlainTerminal()
