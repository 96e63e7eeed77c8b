"""The wheel of this project, built as a release builds it: from a fresh checkout of one commit."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.harness import act, tools

SOURCES = (".gitattributes", "LICENSE", "README.md", "pyproject.toml", "requirements", "setup.py", "src")


def checkout(directory: Path) -> str:
    """A repository of one commit with what a wheel is built from; the commit."""
    directory.mkdir()
    for name in SOURCES:
        path = tools.PROJECT / name
        if path.is_dir():
            left_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(path, directory / name, symlinks=True, ignore=left_out)
        else:
            shutil.copy(path, directory)
    for words in ("init --quiet", "add .", "commit --quiet --message release", "rev-parse HEAD"):
        done = subprocess.run(
            ["git", *words.split()], cwd=directory, env=act.AUTHOR, check=True, capture_output=True, text=True
        )
    return done.stdout.strip()


def wheel(directory: Path) -> tuple[Path, str]:
    """A wheel, alone in the directory `index` of the given one, and its commit."""
    commit = checkout(directory / "source")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*build, str(directory / "index"), str(directory / "source")], check=True)
    (made,) = (directory / "index").iterdir()
    return made, commit
