"""Content-addressed derivations: an empty machine gets them from the cache, as from one that Nix itself filled."""

from pathlib import Path

from tests.conftest import MakeMachine
from tests.harness import graphs, nix, product, sealing, servers
from tests.harness.content_addressed import FEATURE, FLOATING, ready
from tests.harness.job import Job
from tests.harness.roots import OLD, Generation


def test_an_empty_machine_builds_nothing_again(
    machine: MakeMachine, nix_generation: Generation, tmp_path: Path
) -> None:
    first = machine(nix_generation, product.binds(tmp_path))
    nix.without_daemon(first)
    ready(first)
    job = Job(first)
    job.run("setup")
    built = _built(job)
    said = job.said("finish")
    assert "5 pushed" in said, said
    assert "NOT pushed" not in said
    second = machine(nix_generation, product.binds(tmp_path))
    nix.without_daemon(second)
    ready(second)
    key = (tmp_path / "signing-key.pub").read_text()
    options = f"--option substituters file://{product.DATA}/cache --option trusted-public-keys {key}"
    done = second.sh(f"nix-build --no-out-link /root/ca.nix {options}")
    assert done.stdout == built
    assert "\nbuilding " not in done.stderr


def _built(job: Job) -> str:
    """What it builds. Nix 2.8 was seen to crash once in some fifty builds of such derivations; it is then run again."""
    command = "nix-build --no-out-link /root/ca.nix"
    done = job.sh(command, check=False)
    return job.sh(command).stdout if "basic_string::_M_create" in done.stderr else done.stdout


def test_what_a_user_could_have_written_is_no_realisation(tmp_path: Path) -> None:
    """Nix 2.8 does not tell its hook what was built, and any user can write into its database what became of it."""
    with sealing.job(tmp_path, OLD) as sealed:
        sealed.machine.sh(f"echo '{FEATURE}' >>/etc/nix/nix.conf")
        sealed.job.run("setup")
        sealed.machine.write(
            "/tmp/ca.nix", graphs.leaf("floating").replace("inherit name;", f"inherit name; {FLOATING}")
        )
        sealed.job.sh("nix-build --no-out-link /tmp/ca.nix")
        said = sealed.job.said("finish")
        assert "its outputs are content-addressed, and this Nix does not say what they became" in said
        assert not list(sealed.server.directory.glob("realisations/*"))


def test_realisations_are_read_by_way_of_the_reader(
    machine: MakeMachine, nix_generation: Generation, tmp_path: Path
) -> None:
    """Their names have characters that a client may encode."""
    one = machine(nix_generation, product.binds())
    nix.without_daemon(one)
    ready(one)
    key = Job(one).keygen()
    with servers.rclone_http(one, tmp_path / "http", ["nar", "realisations"]) as server:
        server.wait()
        job = Job(one, inputs={"cache": server.url.replace("//", "//me:word@"), "signing-key": key})
        job.run("setup")
        built = _built(job)
        assert "NOT pushed" not in job.said("flush")
        one.sh("chmod -R u+w /nix/store; rm -rf /root/.cache/nix /nix/var/nix/db /nix/store/*")
        done = job.sh("nix-build --no-out-link /root/ca.nix")
        assert done.stdout == built
        assert "\nbuilding " not in done.stderr
