"""The packages need no library but the C library and libgcc_s, which the Python of nixpkgs has at hand.

So a Python that Nix got loads them where there is no other library. libstdc++ or libz would not be found there. The
development environment has the same packages as a job.
"""

import re
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.harness import product

NAME = re.compile(r"^([a-z0-9-]+)==", re.MULTILINE)
LIBRARY = re.compile(rb"\0((?:lib|ld-)[A-Za-z0-9_+.-]+\.so(?:\.[0-9]+)*)(?=\0)")
INSTALLED = {str(each.name).lower().replace("_", "-").replace(".", "-") for each in metadata.distributions()}
AT_HAND = re.compile(rb"(ld-linux-(x86-64|aarch64)|lib(c|m|dl|rt|pthread|gcc_s))\.so\.[0-9]")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere libraries have other names")
def test_no_extension_needs_more_than_the_c_library_and_libgcc() -> None:
    found = {}
    for name in sorted({name for lock in product.LOCKS for name in NAME.findall(lock.read_text())}):
        for path in metadata.files(name) or [] if name in INSTALLED else []:
            if ".so" in path.suffixes:
                found[str(path)] = set(LIBRARY.findall(Path(str(path.locate())).read_bytes()))
    assert b"libgcc_s.so.1" in set().union(*found.values()), f"libraries are found at all: {found}"
    for where, libraries in found.items():
        assert all(map(AT_HAND.fullmatch, libraries)), (where, libraries)
