"""Text that somebody's editor, shell or secret store wrote: without the marks that nobody sees.

An editor on Windows begins a file with a byte order mark, PowerShell writes UTF-16, and a mark that was read as
another encoding is three strange letters. Nix would take them for a part of the first word.
"""

from __future__ import annotations

import codecs
from typing import Final

# The byte order mark: itself, read as Latin-1, and as bytes that Python could not decode; and blanks of no width.
_MARKS: Final = ("\ufeff", "\u00ef\u00bb\u00bf", "\udcef\udcbb\udcbf", "\u200b", "\u2060")
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def clean(text: str) -> str:
    """The text without blanks, line breaks and invisible marks around it."""
    while True:
        before = text
        text = text.strip()
        for mark in _MARKS:
            text = text.removeprefix(mark).removesuffix(mark)
        if text == before:
            return text


def decoded(raw: bytes) -> str:
    """A file's text, cleaned. Raises UnicodeDecodeError for what is none."""
    return clean(raw.decode("utf-16" if raw.startswith(_UTF_16) else "utf-8"))
