"""What pyproject.toml cannot say of a build: the commit goes into the wheel, and into the source archive; and the links
of README.md, which are relative, lead somewhere from PyPI's page, too.

`system/version.py` reads it there. A build outside of a checkout, as from the source archive, leaves what is in it.
"""

import re
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

COMMIT = "nix_autocache/commit.txt"
HOME = "https://github.com/nix-autocache/nix-autocache"


def readme() -> str:
    """README.md with whole links: to GitHub's pages, and for images to the files themselves."""
    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    text = re.sub(r"(!\[[^]]*\]\()(?!https?:)", rf"\1{HOME}/raw/main/", text)
    return re.sub(r"(\]\()(?!https?:|#)", rf"\1{HOME}/blob/main/", text)


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


setup(
    cmdclass={"build_py": BuildWithCommit, "sdist": SdistWithCommit},
    long_description=readme(),
    long_description_content_type="text/markdown",
)
