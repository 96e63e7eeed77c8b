"""Programs that tests run inside machines and as the job's own code.

They are files, so that the linters see them. They run by their text, so no machine needs this directory.
"""

from pathlib import Path


def source(name: str) -> str:
    return Path(__file__).with_name(name).read_text()


def python(name: str, *words: str) -> list[str]:
    """The command that runs a program in Python; it may import the product if PYTHONPATH leads there."""
    return ["python3", "-sP", "-c", source(name), *words]


def shell(name: str, *words: str) -> list[str]:
    """The command that runs a shell script, which ends at its first failing command."""
    return ["sh", "-euc", source(name), name, *words]
