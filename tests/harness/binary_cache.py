"""A binary cache in a directory, read as any client would: by its narinfos."""

from collections.abc import Sequence
from pathlib import Path


def name_of(path: str) -> str:
    """The name of a store path, after its hash."""
    return path.rpartition("/")[2][33:]


def narinfos(directory: Path) -> dict[str, dict[str, str]]:
    """The fields of every narinfo, by the name of its store path."""
    infos = [parse(path.read_text()) for path in directory.glob("*.narinfo")]
    return {name_of(info["StorePath"]): info for info in infos}


def parse(text: str) -> dict[str, str]:
    parts = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in parts}


def missing(directory: Path) -> Sequence[str]:
    """Archives of its narinfos, and narinfos of their references, that the cache lacks; empty if it is closed."""
    there = {path.stem for path in directory.glob("*.narinfo")}
    lacking = []
    for path in directory.glob("*.narinfo"):
        info = parse(path.read_text())
        lacking += [] if (directory / info["URL"]).is_file() else [info["URL"]]
        lacking += [base for base in info["References"].split() if base[:32] not in there]
    return lacking
