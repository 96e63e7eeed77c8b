"""What `setup` is going to do on this machine, decided before anything is changed. `doctor` prints the same plan.

A plan knows only what can be known beforehand: a key that only the uploader may read has no public half yet, and with
`harden` the last judgement is made when root has been taken away.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..machine import paths
from ..machine.modes import Mode, ModeRule
from ..machine.observe import Facts
from ..nix.store import Nix
from ..queue import hook
from ..system.dataclass import dataclass, replace
from ..trust.policy import LIMITATIONS, Verdict
from ..uploader.read_proxy.address import Address
from . import decision, exposures, reading
from .context import Context
from .destination import Destination
from .state import JobState

_INSTALLS = {"multi-user": "for all users", "single-user": "for this user"}


@dataclass(frozen=True, kw_only=True)
class SetupPlan:
    """`verdict` is the foreseen one. `no_hook` says why the hook cannot be used; then the store is scanned instead,
    or, with a `separate_user` for the uploader, nothing is pushed: only the hook and root can write that queue.
    With `lock_down`, root is taken from the job's user. `reads_itself` says why Nix cannot read the cache through our
    proxy although that would be better, or the only way. `nix` says in words where Nix comes from. `now` is that of
    the context."""

    facts: Facts
    rule: ModeRule
    destination: Destination
    verdict: Verdict
    dry_run: bool
    lock_down: bool
    separate_user: bool
    reads_itself: str
    no_hook: str
    nix: str
    now: float = 0.0

    @classmethod
    def make(cls, context: Context, facts: Facts, rule: ModeRule) -> SetupPlan:
        """Decide; changes nothing. Raises InputError for inputs that do not fit together."""
        destination = context.destination()
        lock_down = context.settings.harden and facts.sudo and not facts.root and facts.system == "Linux"
        separate_user = lock_down and rule.mode.daemon and exposures.another_user_can_upload(destination)
        verdict = decision.judge(context, destination, exposures.known(context, facts, rule.mode, destination))
        no_hook = _no_hook(context, rule) if verdict.push else ""
        if no_hook and separate_user:
            verdict = Verdict(push=False, reason=no_hook, unsolved=dict.fromkeys(LIMITATIONS, no_hook))
        return cls(
            facts=facts,
            rule=rule,
            destination=destination,
            verdict=verdict,
            dry_run=context.is_dry_run(destination),
            lock_down=lock_down,
            separate_user=separate_user,
            reads_itself=reading.obstacle(context, facts, rule, destination),
            no_hook=no_hook,
            nix=_nix(context, facts, rule),
            now=context.now,
        )

    def begin(self, nix: Nix, reader: Address | None) -> JobState:
        """The state of a job that begins as planned."""
        state = JobState.begin(
            self.rule.mode,
            nix,
            self.destination.url.without_secrets,
            self.verdict,
            no_hook=self.no_hook,
            separate_user=self.separate_user,
            reader=reader,
        )
        return replace(state, dry_run=self.dry_run and state.push, period=int(self.now))

    @property
    def read_proxy(self) -> bool:
        """Whether Nix is to read the cache through our proxy."""
        return self.destination.wants_read_proxy and not self.reads_itself

    def lines(self) -> Iterator[str]:
        """The plan for people, a line for each decision."""
        yield mode_line(self.rule, self.facts)
        if self.rule.mode is Mode.MANAGED:
            yield "plan: this machine's own uploader pushes what the job builds"
            return
        yield f"plan: {self.nix}; {self._cache()}"
        if self.verdict.push:
            yield f"plan: {self._builds()}; {self._uploader()}"

    def _cache(self) -> str:
        url = replace(self.destination.url, params={}).without_secrets
        reads = "let Nix read it" if self.destination.is_read_by_nix else "do not read it"
        reads = "read it through our proxy" if self.read_proxy else reads
        if not self.verdict.push:
            return f"{reads.replace('it', url, 1)}, push nothing: {self.verdict.reason}"
        return f"push to {url}{' (dry run: write nothing)' if self.dry_run else ''} and {reads}"

    def _builds(self) -> str:
        if self.no_hook:
            return f"scan the store at the end of the job, since {self.no_hook}"
        return "queue each build by a post-build hook"

    def _uploader(self) -> str:
        if self.separate_user:
            return "upload as a user of its own, and take root from this one"
        return "upload as this user" + (", and take root from it" if self.lock_down else "")


def mode_line(rule: ModeRule, facts: Facts) -> str:
    """The mode that was chosen, and why."""
    return f"mode {rule.mode.value}: {rule.found} ({facts})"


def _no_hook(context: Context, rule: ModeRule) -> str:
    if rule.mode is Mode.EXISTING_SCAN:
        return rule.no_hook
    machine = paths.machine(context.environ) if rule.mode.daemon else context.paths
    return hook.obstacle(machine.hook)


def _nix(context: Context, facts: Facts, rule: ModeRule) -> str:
    kind = rule.mode.installs
    if kind is None:
        return f"use the Nix in {facts.nix}"
    if facts.ours == kind:
        return "use the Nix of an earlier set-up"
    what = "the Nix of nix-url" if context.settings.nix_url else f"Nix {context.settings.nix_version}"
    return f"install {what} {_INSTALLS[kind]}"
