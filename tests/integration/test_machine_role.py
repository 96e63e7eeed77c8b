"""A machine with a role of its own in AWS: its jobs' code has that role too, and the report says so."""

from pathlib import Path

from nix_autocache.nix import keys
from tests.conftest import MakeMachine
from tests.harness import nix, product, programs, sealing
from tests.harness.aws import REGION, Account, in_machine
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.roots import RECENT
from tests.harness.sealing import SOLVED
from tests.harness.waiting import wait_for

KEY = keys.generate("machine-1")
ADDRESS = "169.254.169.254"
SAID = f"AWS's metadata service at {ADDRESS} gives the job's user the credentials that the uploader has"
CONFIGURATION = """
cache = "{cache}"
signing-key = "aws-ssm:/ci/key"
[environment]
AWS_REGION = "{region}"
AWS_ENDPOINT_URL_SSM = "{url}"
AWS_ENDPOINT_URL_STS = "{url}"
"""
THEFT = """
import boto3, sys
found = boto3.client("ssm", region_name=sys.argv[1], endpoint_url=sys.argv[2])
print(found.get_parameter(Name="/ci/key", WithDecryption=True)["Parameter"]["Value"])
"""


def with_role(machine: Machine) -> None:
    machine.sh(f"ip addr add {ADDRESS}/32 dev lo")
    machine.start(programs.python("metadata.py", ADDRESS, "80", "aws"))
    wait_for(lambda: machine.sh(f"ss -lnt | grep -q {ADDRESS}:80", check=False).returncode == 0, "the service")


def stolen(machine: Machine, account: Account, packages: str) -> str:
    """The output of the job's code that fetches the key with the machine's role."""
    env = {"PYTHONPATH": machine.sh(f"echo {packages} | tr ' ' :").stdout.strip()}
    return machine.run(["python3", "-c", THEFT, REGION, account.url], user="runner", env=env, check=False).stdout


def test_the_report_of_a_provisioned_machine_says_that_its_role_is_for_everybody(
    machine: MakeMachine, tmp_path: Path
) -> None:
    made = machine(RECENT, product.binds())
    made.add_user("runner")
    nix.with_daemon(made)
    with_role(made)
    with in_machine(made, tmp_path) as account:
        account.keep(str(KEY))
        told = CONFIGURATION.format(cache=account.cache, region=REGION, url=account.url)
        made.write("/etc/nix-autocache.toml", told, mode=0o600)
        Job(made).run("provision")
        job = Job(made, "runner", name="job")
        said = job.said("setup")
        job.build("something")
        assert "1 pushed" in job.said("finish")
        assert str(KEY) in stolen(made, account, "/var/lib/nix-autocache/packages/*")
    assert SAID in said, said
    assert SOLVED not in said


def test_the_report_of_a_hardened_job_says_so_too(tmp_path: Path) -> None:
    with sealing.job(tmp_path) as sealed:
        with_role(sealed.machine)
        with in_machine(sealed.machine, tmp_path / "aws") as account:
            account.keep(str(KEY))
            inputs = {**sealed.job.inputs, "cache": account.cache, "signing-key": "aws-ssm:/ci/key"}
            said = Job(sealed.machine, "runner", inputs, env=account.env()).said("setup")
            # In the second, if nobody before this test has put them into the first, where this user may not write.
            homes = (f"{product.TOOL_CACHE}/nix-autocache", "/home/runner/.cache/nix-autocache")
            packages = " ".join(f"{home}/{'?' * 20}" for home in homes)
            assert str(KEY) in stolen(sealed.machine, account, packages)
    assert SAID in said, said
    assert "AWS_ENDPOINT_URL_SECRETS_MANAGER" not in said, "an address is no secret"
    assert SOLVED not in said
