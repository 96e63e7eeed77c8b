"""Realisations of content-addressed derivations: ids as Nix makes them, and nothing for what is something else."""

import hashlib
import json
from pathlib import Path

import pytest

from nix_autocache.nix import keys
from nix_autocache.nix.realisation import is_floating, realisations
from nix_autocache.nix.store import StorePath
from tests.harness.samples import CA, HASH, derivation, output


def test_an_id_is_the_one_that_nix_2_26_gives(tmp_path: Path) -> None:
    (found,) = realisations(derivation(tmp_path, CA), [output("ca")])
    assert found.name == (
        "realisations/sha256:cd3fb99ab4ff9a748dba4d04fb9923d0b19103600a14c6381c1402e7419ee295!out.doi"
    )
    assert found.path == output("ca")


def test_each_output_is_found_by_its_name(tmp_path: Path) -> None:
    text = CA.replace('[("out","","r:sha256","")]', '[("dev","","r:sha256",""),("out","","r:sha256","")]')
    found = realisations(derivation(tmp_path, text), [output("ca-dev"), output("other")])
    assert [(each.output, each.path) for each in found] == [("dev", output("ca-dev"))]


def test_a_realisation_is_signed_without_its_signatures(tmp_path: Path) -> None:
    key = keys.generate("ours-1")
    (found,) = realisations(derivation(tmp_path, CA), [output("ca")])
    content = json.loads(found.render(key))
    (signature,) = content.pop("signatures")
    assert key.public.verifies(json.dumps(content, separators=(",", ":")).encode(), signature)
    assert json.loads(found.render(None))["signatures"] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Derive(",
        CA[:-1],
        CA + " ",
        CA.replace('"","r:sha256",""', f'"{output("ca")}","",""'),  # named by its inputs
        CA.replace('"","r:sha256",""', f'"{output("ca")}","r:sha256","{"0" * 64}"'),  # by its own hash
        CA.replace('"","r:sha256",""', '"","r:sha256","impure"'),
        CA.replace('"","r:sha256",""', '"","",""'),  # by inputs that are content-addressed themselves
        CA.replace("[],[],", f'[("/nix/store/{HASH}-in.drv",["out"])],[],'),  # not what Nix builds
        CA.replace("Derive(", 'DrvWithVersion("xp-dyn-drv",'),
        "Derive([" + '("out","","r:sha256",""),' * 5000,
    ],
)
def test_what_is_no_resolved_floating_derivation_has_none(tmp_path: Path, text: str) -> None:
    assert realisations(derivation(tmp_path, text), [output("ca")]) == []


def test_text_that_looks_like_a_derivations_end_is_text(tmp_path: Path) -> None:
    text = CA.replace('("name","ca")', '("name","ca"),("odd","],[(\\"out\\",\\"x\\\\\\")])")')
    (found,) = realisations(derivation(tmp_path, text), [output("ca")])
    masked = text.replace("/1rz4g4znpzjwh1xymhjpm42vipw92pr73vdgl6xs1hycac8kf2n9", "")
    assert found.id == f"sha256:{hashlib.sha256(masked.encode()).hexdigest()}!out"


def test_what_is_no_file_of_a_derivation_is_not_read(tmp_path: Path) -> None:
    (tmp_path / f"{HASH}-directory.drv").mkdir()
    large = derivation(tmp_path, CA + " " * (9 << 20), "large")
    for path in (tmp_path / f"{HASH}-directory.drv", tmp_path / f"{HASH}-gone.drv", Path("/proc/self/environ"), large):
        assert not is_floating(StorePath(path))
