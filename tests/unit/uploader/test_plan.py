"""What a plan makes of paths: candidates, or outcomes with a reason; and what it leaves out."""

import re
from pathlib import Path

from nix_autocache.errors import StoreError
from nix_autocache.nix import keys
from nix_autocache.nix.narinfo import fingerprint
from nix_autocache.nix.store import StorePath
from nix_autocache.queue.entry import Entry
from nix_autocache.system.dataclass import replace
from nix_autocache.uploader.plan import Plan, Policy, plan
from nix_autocache.uploader.vouching import Vouching
from tests.harness.paths import Known, info, path

OPEN = Vouching(began=0, trusted=None)
POLICY = Policy(upstreams=(), exclude=None, vouching=OPEN)


def planned(store: Known, *outputs: StorePath, policy: Policy = POLICY, known: frozenset[str] = frozenset()) -> Plan:
    """The plan for one build with these outputs."""
    return plan([Entry(path("build.drv").base, outputs)], store, policy, known)


def outcomes(made: Plan) -> dict[str, tuple[str, str]]:
    found = {outcome.path: (outcome.what, outcome.reason) for outcome in made.settled}
    assert len(found) == len(made.settled), "every path once"
    assert not found.keys() & {each.path for each in made.candidates}
    return found


def test_the_closure_of_the_outputs_is_planned_each_path_once() -> None:
    base = info("base")
    left, right = info("left", base.path), info("right", base.path)
    top = info("top", left.path, right.path, path("top"))
    made = planned(Known(base, left, right, top), top.path)
    assert made.candidates[0] == top
    assert sorted(each.path.name for each in made.candidates) == ["base", "left", "right", "top"]
    assert outcomes(made) == {}


def test_what_refers_to_a_path_that_was_planned_before_is_a_candidate() -> None:
    base = info("base")
    top = info("top", base.path)
    made = planned(Known(top), top.path, known=frozenset({base.path}))
    assert made.candidates == (top,)
    assert outcomes(made) == {}


def test_what_an_upstream_signed_and_what_another_cache_has_is_upstream() -> None:
    key = keys.generate("upstream-1")
    text = fingerprint(info("signed"))
    signed, forged = info("signed", signatures=(key.sign(text),)), info("forged", signatures=(key.sign(text),))
    elsewhere, changed = info("elsewhere"), info("changed")
    policy = Policy(
        upstreams=(key.public,),
        exclude=None,
        vouching=OPEN,
        elsewhere={elsewhere.path: fingerprint(elsewhere), changed.path: b"other content"},
    )
    store = Known(signed, forged, elsewhere, changed)
    made = planned(store, signed.path, forged.path, elsewhere.path, changed.path, policy=policy)
    assert outcomes(made) == {signed.path: ("upstream", ""), elsewhere.path: ("upstream", "")}
    assert set(made.candidates) == {forged, changed}


def test_what_is_excluded_is_skipped_and_named() -> None:
    secret, top = info("secret-config"), info("top", path("secret-config"))
    policy = Policy(upstreams=(), exclude=re.compile("^secret"), vouching=OPEN)
    made = planned(Known(secret, top), top.path, policy=policy)
    assert outcomes(made) == {secret.path: ("skipped", "excluded by ^secret")}
    assert made.candidates == (top,)


def test_what_nobody_vouches_for_fails_unless_the_hook_saw_it_built() -> None:
    imported, top = info("imported", registered=10), info("top", path("imported"), registered=10)
    policy = Policy(upstreams=(), exclude=None, vouching=Vouching(began=5, trusted=()))
    made = planned(Known(imported, top), top.path, policy=policy)
    assert [(what, "nobody vouches" in reason) for what, reason in outcomes(made).values()] == [("failed", True)]
    assert made.candidates == (top,)


def test_paths_that_refer_to_each_other_fail_with_what_refers_to_them() -> None:
    one, two, top = info("one", path("two")), info("two", path("one")), info("top", path("one"))
    alone = info("alone")
    made = planned(Known(one, two, top, alone), top.path, alone.path)
    assert outcomes(made).keys() == {one.path, two.path, top.path}
    assert all("refers to itself by way of others" in reason for _, reason in outcomes(made).values())
    assert made.candidates == (alone,)


def test_an_answer_that_cannot_be_used_fails_its_path_alone() -> None:
    top = info("top", path("odd"))
    made = planned(Known(top, odd={path("odd"): StoreError("no sense in it")}), top.path)
    assert outcomes(made) == {path("odd"): ("failed", "no sense in it")}
    assert made.candidates == (top,)


def test_what_a_hook_named_and_what_is_referred_to_must_be_in_the_store() -> None:
    top = info("top", path("collected"))
    made = planned(Known(top), top.path, path("never-there"))
    found = outcomes(made)
    assert found.keys() == {path("collected"), path("never-there")}
    assert all(what == "failed" and reason.startswith("it is not in the store") for what, reason in found.values())
    assert made.outputs == {path("build.drv").base: (top.path, path("never-there"))}


def derivation(directory: Path, *outputs: StorePath) -> Entry:
    """An entry whose outputs the hook was not told."""
    texts = ",".join(f'("{each.name}","{each}","","")' for each in outputs)
    text = f'Derive([{texts}],[],[],"x86_64-linux","/bin/sh",[],[])'
    Path(directory, path("build.drv").base).write_text(text)
    return Entry(path("build.drv").base, ())


def test_of_a_derivation_only_the_outputs_that_were_built_are_planned(tmp_path: Path) -> None:
    out, doc = info("out", store_dir=str(tmp_path)), path("doc", str(tmp_path))
    entry = derivation(tmp_path, out.path, doc)
    made = plan([entry], Known(out, store_dir=str(tmp_path)), POLICY, frozenset())
    assert made.candidates == (out,)
    assert made.outputs == {entry.name: (out.path,)}
    assert outcomes(made) == {}


def test_a_derivation_whose_outputs_are_all_gone_fails_with_each_of_them(tmp_path: Path) -> None:
    out, doc = path("out", str(tmp_path)), path("doc", str(tmp_path))
    entry = derivation(tmp_path, out, doc)
    made = plan([entry], Known(store_dir=str(tmp_path)), POLICY, frozenset())
    assert outcomes(made).keys() == set(made.outputs[entry.name]) == {out, doc}


def test_a_derivation_that_is_gone_stands_for_its_outputs() -> None:
    made = planned(Known())
    [gone] = made.settled
    assert gone.path == path("build.drv")
    assert made.outputs == {path("build.drv").base: (path("build.drv"),)}


def test_a_thousand_signatures_of_a_path_are_not_kept_in_memory() -> None:
    trusted, true = keys.generate("trusted-1").public, f"trusted-1:{'A' * 86}=="
    many = [f"many-{number}:{'A' * 86}==" for number in range(1000)]
    policy = Policy(upstreams=(), exclude=None, vouching=Vouching(began=0, trusted=(trusted,)))
    top = info("top", signatures=(*many, true))
    [kept] = planned(Known(top), top.path, policy=policy).candidates
    assert kept == replace(top, signatures=(true, *many[:31]))
