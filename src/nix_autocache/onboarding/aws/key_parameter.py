"""The signing key as a SecureString in AWS's Parameter Store. It can be read, so what is there is always known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...errors import Error
from ...nix import keys
from ...nix.keys import PublicKey, SecretKey
from ...system.dataclass import dataclass
from .. import signing_keys
from ..options import Options
from ..signing_keys import KeyPlan
from ..steps import Found, Now
from .bucket import Bucket
from .service import Service
from .tags import TAG, owner_of, tags

_ABSENT: Final = frozenset({"ParameterNotFound"})
_TRUSTED: Final = "Still trusted:"
_LONGEST: Final = 1024  # characters of a parameter's description


@dataclass(frozen=True)
class Parameter:
    """A parameter by its name; `owner` is the repository. Raises Error as `Service.ask`."""

    ssm: Service
    name: str
    owner: str

    def key(self) -> SecretKey | None:
        """Raises InputError if it holds something else."""
        answer = self.ssm.ask("get_parameter", missing=_ABSENT, Name=self.name, WithDecryption=True)
        return keys.parse_secret(answer["Parameter"]["Value"], name=f"aws-ssm:{self.name}") if answer else None

    def old_keys(self) -> tuple[PublicKey, ...]:
        """Of its description, for when the variable of the repository is gone."""
        wanted = [{"Key": "Name", "Option": "Equals", "Values": [self.name]}]
        page = self.ssm.ask("describe_parameters", ParameterFilters=wanted)
        while not page["Parameters"] and page.get("NextToken"):  # a page may be empty, and not the last
            page = self.ssm.ask("describe_parameters", ParameterFilters=wanted, NextToken=page["NextToken"])
        text = next((each.get("Description", "") for each in page["Parameters"]), "")
        return keys.parse_public_keys(text.partition(_TRUSTED)[2], f"the description of aws-ssm:{self.name}")

    def is_ours(self) -> bool:
        answer = self.ssm.ask("list_tags_for_resource", ResourceType="Parameter", ResourceId=self.name)
        return owner_of(answer["TagList"]) == self.owner


def plan(parameter: Parameter, wanted: str, known: Sequence[PublicKey], options: Options) -> KeyPlan:
    """`known` is what the variable holds, `wanted` the name of a new key."""
    current = parameter.key()
    if current is None:
        return KeyPlan(new=None, trusted=tuple(known)) if options.undo else signing_keys.made(wanted, known)
    known = known or [current.public, *parameter.old_keys()]
    here = current.public
    rotates = (options.rotate_key or options.new_key) and not options.undo
    if not rotates or (here in known and known[0] != here):
        return signing_keys.kept(here, known)  # or the rest of a rotation that was interrupted
    # What an interrupted rotation announced, and did not store, has signed nothing.
    never = signing_keys.newer(here, known)
    others = [key for key in known if key != here and key not in never]
    return signing_keys.replaced(options.key_name, [here, *others], str(options.cache), f"aws-ssm:{parameter.name}")


@dataclass(frozen=True)
class ParameterStep:
    """Stores a key, or keeps the one that is there. `old` is the key that `new` replaces."""

    parameter: Parameter
    bucket: Bucket
    new: SecretKey | None
    old: tuple[PublicKey, ...] = ()
    details: Sequence[str] = ()

    @property
    def thing(self) -> str:
        return f"signing key {f'{self.new.name} ' if self.new else ''}in AWS's parameter {self.parameter.name}"

    def look(self) -> Found:
        current = self.parameter.key()
        if current is None:
            return Found(Now.ABSENT)
        if self.new in {None, current}:
            return Found(Now.RIGHT, f"public key {current.public}")
        if current.public in self.old[:1]:
            return Found(Now.DIFFERENT, f"it replaces {current.name}")
        raise self._changed()

    def apply(self) -> str:
        if self.new is None:
            raise self._changed()
        text = f"Signs the Nix binary cache of {self.parameter.owner}."
        for key in self.old:
            more = f"{text} {'' if _TRUSTED in text else f'{_TRUSTED} '}{key}"
            text = more if len(more) <= _LONGEST else text
        how = {"Overwrite": True} if self.old else {"Tags": tags(self.parameter.owner)}
        stored = self.parameter.ssm.ask(
            "put_parameter",
            missing={"ParameterAlreadyExists"},
            Name=self.parameter.name,
            Value=str(self.new),
            Type="SecureString",
            Description=text,
            **how,
        )
        if not stored:
            raise self._changed()
        return f"public key {self.new.public}"

    def remove(self) -> str:
        if self.parameter.key() is None:
            return ""
        if not self.parameter.is_ours():
            return f"it does not have the tag {TAG} of {self.parameter.owner}"
        if self.bucket.holds_something():
            return f"the bucket {self.bucket.name} holds something, and its signatures are of this key"
        self.parameter.ssm.ask("delete_parameter", Name=self.parameter.name)
        return ""

    def _changed(self) -> Error:
        return Error(f"aws-ssm:{self.parameter.name} was changed by somebody else meanwhile; run init again")
