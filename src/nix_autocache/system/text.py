"""Removes invisible marks from text of an editor, shell or secret store.

Editors on Windows begin a file with a byte order mark, and PowerShell writes UTF-16. A mark that was decoded wrongly is
three strange letters. Nix would take all of these for a part of the first word.
"""

from __future__ import annotations

import codecs
from typing import Final

# The byte order mark: itself, decoded as Latin-1, and as bytes that Python could not decode; zero-width blanks.
_MARKS: Final = ("\ufeff", "\u00ef\u00bb\u00bf", "\udcef\udcbb\udcbf", "\u200b", "\u2060")
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def clean(text: str) -> str:
    """Remove blanks, line breaks and invisible marks from both ends."""
    while True:
        before = text
        text = text.strip()
        for mark in _MARKS:
            text = text.removeprefix(mark).removesuffix(mark)
        if text == before:
            return text


def decoded(raw: bytes) -> str:
    """The clean text of a file. Raises UnicodeDecodeError."""
    return clean(raw.decode("utf-16" if raw.startswith(_UTF_16) else "utf-8"))
