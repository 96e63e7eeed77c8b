"""The verbs of the command line: what each runs, does and takes, and the parser that is made from that.

Most of the time of a short verb is that of its imports, so each imports only its own command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Final

from ..job.context import Context
from ..machine.paths import CONFIGURATION
from ..settings import INPUTS
from ..system import version
from ..system.dataclass import dataclass

if TYPE_CHECKING:
    import argparse

_PROVISION: Final = f"""\
cat {CONFIGURATION}
    cache = "s3://bucket?region=eu-west-1"
    signing-key = "file:/etc/nix-autocache/signing-key"
    public-keys = ["cache.example.org-1:aWgkY9TScTgShzTS5yXH4ndFlgV8wbrT7QuMBJuIjsg="]
    [environment]
    AWS_SHARED_CREDENTIALS_FILE = "/etc/nix-autocache/aws"
  nix-autocache provision"""


@dataclass(frozen=True)
class Verb:
    """A verb, what it does in a line, an example, and whether the inputs are its flags and paths its arguments."""

    run: Callable[[Context, SimpleNamespace], object]
    doc: str
    example: str
    takes_inputs: bool = True
    takes_paths: bool = False


def _command(name: str) -> ModuleType:
    return import_module(f"{__package__}.{name}")


VERBS: Final[Mapping[str, Verb]] = {
    "setup": Verb(
        lambda context, _: _command("setup").setup(context),
        "make Nix ready, register the hook and start uploading",
        "nix-autocache setup --cache 's3://bucket?region=eu-west-1' --signing-key env:NIX_SIGNING_KEY",
    ),
    "flush": Verb(
        lambda context, _: _command("finish").flush(context),
        "wait until everything that was built is in the cache",
        "nix-autocache flush --flush-timeout 120 --on-upload-failure fail",
    ),
    "finish": Verb(
        lambda context, _: _command("finish").finish(context),
        "flush, then stop uploading and take the hook out of nix.conf (the end of a job)",
        "nix-autocache finish",
    ),
    "status": Verb(
        lambda context, options: _command("status").status(context, as_json=options.json),
        "say how far the uploads are",
        "nix-autocache status --json",
    ),
    "doctor": Verb(
        lambda context, options: _command("status").doctor(context, as_json=options.json),
        "print what setup would do on this machine, and why; changes nothing",
        "nix-autocache doctor --json",
    ),
    "push": Verb(
        lambda context, options: _command("push").push(context, options.paths),
        "push store paths and all that they refer to, now",
        "nix-autocache push --cache file:///srv/cache --signing-key file:./key ./result",
        takes_paths=True,
    ),
    "init": Verb(
        lambda context, options: _command("init").init(context, options),
        "make what a repository needs: bucket, key, secrets and a pull request with the workflow",
        "nix-autocache init --cache 's3://bucket?region=eu-west-1' --dry-run",
        takes_inputs=False,
    ),
    "check": Verb(
        lambda context, options: _command("check").check(context, as_json=options.json),
        "try the cache with the credentials at hand: write, read back, be refused; says what does not work",
        "nix-autocache check --cache 's3://bucket?region=eu-west-1' --signing-key env:NIX_SIGNING_KEY",
    ),
    "sign": Verb(
        lambda context, options: _command("sign").sign(context, options),
        "sign what is in a cache with a new key, where an old key has signed it; touches no archive",
        "nix-autocache sign --cache 's3://bucket' --signing-key env:NIX_SIGNING_KEY --old-key cache.example.org-1:…",
    ),
    "gc": Verb(
        lambda context, options: _command("gc").gc(context, options),
        "delete from a cache what is no longer used, while others push to it; announces it one run before",
        "nix-autocache gc --cache 's3://bucket?region=eu-west-1' --keep-days 30 --dry-run",
        takes_inputs=False,
    ),
    "pin": Verb(
        lambda context, options: _command("pin").pin(context, options),
        "keep store paths in a cache under a name, whatever their age",
        "nix-autocache pin release-1.0 ./result --cache 's3://bucket?region=eu-west-1' --keep-revisions 3",
        takes_inputs=False,
    ),
    "unpin": Verb(
        lambda context, options: _command("pin").unpin(context, options),
        "let gc delete what is pinned under a name",
        "nix-autocache unpin release-1.0 --cache 's3://bucket?region=eu-west-1'",
        takes_inputs=False,
    ),
    "pins": Verb(
        lambda context, options: _command("pin").pins(context, options),
        "list what is pinned in a cache",
        "nix-autocache pins --cache 's3://bucket?region=eu-west-1' --json",
        takes_inputs=False,
    ),
    "stats": Verb(
        lambda context, options: _command("stats").stats(context, options),
        "say what is in a cache, by project and branch: paths, bytes, age",
        "nix-autocache stats --cache 's3://bucket?region=eu-west-1' --scope github.com/acme/project/main",
        takes_inputs=False,
    ),
    "keygen": Verb(
        lambda context, options: _command("keygen").keygen(options.name),
        "make a signing key; the public key goes to standard error",
        "nix-autocache keygen cache.example.org-1 | gh secret set NIX_SIGNING_KEY",
        takes_inputs=False,
    ),
    "provision": Verb(
        lambda context, _: _command("provision").provision(context),
        f"make this machine upload what all its jobs build, as {CONFIGURATION} says (root)",
        _PROVISION,
        takes_inputs=False,
    ),
    "undo": Verb(
        lambda context, _: _command("undo").undo(context),
        "remove everything that setup made on this machine",
        "nix-autocache undo",
    ),
}


def parse(words: Sequence[str]) -> SimpleNamespace:
    """The parsed command line. Without flags, as in a CI host's steps, it needs no parser: loading argparse and adding
    all flags takes longer than most verbs."""
    if words and not any(word.startswith("-") for word in words):
        verb = VERBS.get(words[0])
        if verb and verb.takes_inputs and verb.takes_paths == (len(words) > 1):
            return SimpleNamespace(verb=words[0], paths=words[1:], json=False)
    return parser().parse_args(words, SimpleNamespace())


def parser() -> argparse.ArgumentParser:
    """The parser, made from VERBS and from the rows of `settings.INPUTS`."""
    import argparse

    top = argparse.ArgumentParser(prog="nix-autocache", description="Cache everything that Nix builds in a CI job.")
    top.add_argument("--version", action="version", version=f"nix-autocache {version.described()}")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, verb in VERBS.items():
        one = verbs.add_parser(
            name,
            help=verb.doc,
            description=verb.doc[0].upper() + verb.doc[1:] + ".",
            epilog=f"example:\n  {verb.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if verb.takes_inputs:
            _add_inputs(one)
    for name in ("init", "sign", "gc", "pin", "stats"):
        _command(name).add_flags(verbs.choices[name])
    for name in ("status", "doctor", "init", "check", "sign", "gc", "pins", "stats"):
        verbs.choices[name].add_argument("--json", action="store_true", help="for programs")
    for name in ("pin", "unpin", "pins", "stats"):
        _command("collectable").add_flags(verbs.choices[name])
    verbs.choices["unpin"].add_argument("name", metavar="NAME", help="of the pin")
    verbs.choices["push"].add_argument("paths", nargs="+", metavar="PATH", help="a store path, or a link to one")
    verbs.choices["keygen"].add_argument("name", metavar="NAME", help="the key's name, as in cache.example.org-1")
    return top


def _add_inputs(one: argparse.ArgumentParser) -> None:
    inputs = one.add_argument_group("inputs", "each also as NIX_AUTOCACHE_… in the environment")
    for row in INPUTS:
        metavar = "{" + ",".join(row.choices) + "}" if row.choices else row.metavar
        default = row.default_doc or row.default
        text = f"{row.doc} Default: {default}." if default else row.doc
        inputs.add_argument(f"--{row.name}", dest=row.attribute, metavar=metavar, help=text.replace("%", "%%"))
