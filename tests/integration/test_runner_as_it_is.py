"""Homes, accounts and file systems as containers and hardened machines have them: a job caches there all the same."""

from dataclasses import dataclass, replace

from tests.conftest import MakeMachine
from tests.harness import nix, product
from tests.harness.job import BUILD, Job, bare, debian
from tests.harness.machine import PATH, Machine
from tests.harness.roots import NEW, OLD, RECENT

NUMBER = 12345  # of a user that no account has
KEY = "nix-autocache-test-1:" + "A" * 86 + "=="


@dataclass(frozen=True)
class Said:
    """The output of a whole job of a user without an account; `cached` if its build is in the cache."""

    text: str
    cached: bool


def job_of_number(machine: Machine, name: str, home: str | None) -> Said:
    """Set-up, a step that builds, and the end; variables are exported as GitHub hands them from step to step."""
    cache = f"/tmp/cache-{name}"
    inputs = f"--cache file://{cache} --signing-key {KEY}"
    command = " ".join(product.CLI)
    expression = BUILD.format(name=name)
    script = f"""
: >$GITHUB_ENV
{command} setup {inputs} --extra-nix-conf 'max-jobs = 1'
while IFS='<' read -r variable _ end; do read -r value; export "$variable=$value"; read -r _; done <$GITHUB_ENV
nix-build --no-out-link --expr '{expression}'
{command} finish {inputs}"""
    host = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_ENV": f"/tmp/env-{name}"}
    variables = {"PATH": PATH, "LANG": "C.UTF-8", **product.environment(), **host}
    variables |= {} if home is None else {"HOME": home}
    words = ["setpriv", f"--reuid={NUMBER}", f"--regid={NUMBER}", "--clear-groups", "env", "-i"]
    words += [f"{name}={value}" for name, value in variables.items()]
    done = machine.run([*words, "sh", "-uc", script], cwd="/", check=False, timeout=120)
    cached = machine.sh(f"grep -h StorePath {cache}/*.narinfo || true").stdout
    return Said(done.stdout + done.stderr, f"-{name}\n" in cached)


def test_a_number_without_an_account_has_a_home_all_the_same(machine: MakeMachine) -> None:
    """`docker run --user 12345` has HOME=/, which is root's, and then Nix does not run at all."""
    made = debian(machine, NEW).machine
    nix.without_daemon(made)
    Job(made).run("--version")
    made.sh("mkdir -m 777 /open; mkdir /h '/a b' '/a#b' '/a  b' /ro; mount -t tmpfs -o ro none /ro")
    made.sh(f"chown -R {NUMBER} /nix /h '/a b' '/a#b' '/a  b'")
    homes = {"own": "/h", "blank": "/a b", "comment": "/a#b", "blanks": "/a  b", "root": "/", "none": None, "empty": ""}
    homes |= {"others": "/open", "relative": "rel", "missing": "/nonexistent", "read-only": "/ro"}
    for name, home in homes.items():
        said = job_of_number(made, name, home)
        assert said.cached, (home, said.text)
        assert "Traceback" not in said.text
        assert "::error" not in said.text, (home, said.text)


def test_where_no_program_runs_from_our_state_the_store_is_scanned(machine: MakeMachine) -> None:
    for generation, prepare in ((OLD, nix.with_daemon), (RECENT, nix.without_daemon)):
        job = replace(debian(machine, generation), inputs={"cache": "file:///tmp/cache", "signing-key": KEY})
        prepare(job.machine)
        job.machine.sh("mount -t tmpfs -o noexec none /var/lib")
        said = job.said("setup")
        assert "noexec" in said, said
        path = job.build("scanned")
        job.build("another")
        said = job.said("finish")
        assert path in job.machine.sh("grep -h StorePath /tmp/cache/*.narinfo").stdout, said


def test_a_nix_that_is_a_link_is_refused_before_anything_is_downloaded(machine: MakeMachine) -> None:
    job = bare(machine)
    job.machine.sh("mkdir -p /mnt/nix; ln -s /mnt/nix /nix")
    done = job.run("setup", check=False)
    assert done.returncode == 3, done
    assert "mount --bind" in done.stdout + done.stderr, done
    assert job.machine.sh("ls -A /mnt/nix").stdout == ""


def test_odd_values_of_usual_variables_are_no_traceback(machine: MakeMachine) -> None:
    job = debian(machine, NEW)
    nix.without_daemon(job.machine)
    odd = {"TMPDIR": "/nonexistent", "XDG_STATE_HOME": "relative", "XDG_CACHE_HOME": "/proc", "USER": "a/b"}
    for variable, value in odd.items():
        said = replace(job, env={variable: value}).said("setup", check=False)
        assert "Traceback" not in said, (variable, said)
