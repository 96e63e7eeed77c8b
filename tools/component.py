"""Prints the GitLab component as it is released: the input `install` has the commit of the program as its default.

`python tools/component.py TEMPLATE COMMIT`; tools/release_component runs it. Standard library only.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

REPOSITORY: Final = "https://gitlab.com/nix-autocache/nix-autocache.git"
_DEFAULT: Final = re.compile(r'(^    install:\n(?:      .*\n)*?      default: )""$', re.MULTILINE)


def released(template: str, commit: str) -> str:
    """The template with that default. Raises ValueError for a template that has one, and for half a commit."""
    if not re.fullmatch("[0-9a-f]{40}", commit):
        raise ValueError(f"{commit!r} is not a whole commit of 40 hexadecimal digits")
    text, count = _DEFAULT.subn(rf'\g<1>"git+{REPOSITORY}@{commit}"', template)
    if count != 1:
        raise ValueError('the template has no input `install` with `default: ""`')
    return text


if __name__ == "__main__":
    sys.stdout.write(released(Path(sys.argv[1]).read_text(encoding="utf-8"), sys.argv[2]))
