"""Derivations of any text: realisations with valid names, or none."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings

from nix_autocache.nix.realisation import realisations
from tests.harness.samples import CA, derivation, output
from tests.harness.soak import seeds
from tests.harness.strategies import texts


@pytest.mark.soak
@settings(max_examples=seeds(2000))
@given(texts(CA.encode()))
def test_a_derivation_of_any_text_is_no_error(text: bytes) -> None:
    with TemporaryDirectory() as name:
        path = derivation(Path(name), "")
        Path(path).write_bytes(text)
        for found in realisations(path, [output("ca"), output("ca-dev")]):
            assert re.fullmatch(r"realisations/sha256:[0-9a-f]{64}![^/\n]+\.doi", found.name), found.name
