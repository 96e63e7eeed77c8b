"""The one step of a build that pyproject.toml cannot say: the commit goes into the wheel, and into the source archive.

`system/version.py` reads it there. A build outside of a checkout, as from the source archive, leaves what is in it.
"""

import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

COMMIT = "nix_autocache/commit.txt"


def write_commit(file: Path) -> None:
    """Put the checkout's commit into the file, if this is a checkout."""
    here = Path(__file__).parent
    if (here / ".git").exists():
        command = ["git", "-C", str(here), "rev-parse", "HEAD"]
        commit = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        file.unlink()  # it may be a hard link to the checkout's own
        file.write_text(commit, encoding="ascii")


class BuildWithCommit(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            write_commit(Path(self.build_lib, COMMIT))


class SdistWithCommit(sdist):
    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        write_commit(Path(base_dir, "src", COMMIT))


setup(cmdclass={"build_py": BuildWithCommit, "sdist": SdistWithCommit})
