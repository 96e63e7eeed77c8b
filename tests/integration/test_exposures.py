"""Every way to root, to the store and to the key that is looked for is found where it is there, and only there.

All on one machine, on which nothing is open between two tests; what a service must listen for is started in it.
"""

from collections.abc import Iterator

import pytest

from tests.conftest import MakeMachine
from tests.harness import nix, product, programs, roots
from tests.harness.job import Job, debian
from tests.harness.machine import Machine
from tests.harness.programs import dotnet
from tests.harness.waiting import wait_for

OF_ROOT = "the job's user can change what root runs, /home/runner"
NOT_SANDBOXED = "builds are not always sandboxed, so what runs beside one can change what it makes"
CONF = "/etc/nix/nix.conf"


@pytest.fixture(scope="module")
def closed() -> Iterator[Machine]:
    """Nix with a daemon that trusts root only, and the user `runner`, who may do nothing."""
    with Machine(roots.root(roots.RECENT), product.binds()) as made:
        made.add_user("runner")
        nix.with_daemon(made, "sandbox = true\nsandbox-fallback = false\n")
        made.sh("touch /etc/kept; chmod 755 /home/runner")
        yield made


def ways(machine: Machine, *words: str, python: str = "python3", prefix: tuple[str, ...] = ()) -> list[str]:
    """The ways that the job's user finds; with `prefix`, a command that root runs to become that user."""
    command = [*prefix, python, *programs.python("exposed.py", *words)[1:]]
    done = machine.run(command, user="root" if prefix else "runner", env=product.environment(), cwd="/")
    return done.stdout.splitlines()


def test_nothing_is_found_where_nothing_is_open(closed: Machine) -> None:
    assert ways(closed, "/etc/kept", "cloud=aws", "cloud=google", "cloud=azure") == []


def conf(line: str) -> tuple[str, str]:
    return f"cp {CONF} /root/before; echo '{line}' >>{CONF}", f"cp /root/before {CONF}"


@pytest.mark.parametrize(
    ("opened", "closing", "sentence"),
    [
        (
            "echo 'runner ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/x",
            "rm /etc/sudoers.d/x",
            "the job's user becomes root by sudo",
        ),
        *(
            (
                f"printf '%s\\n' {rules} >/etc/sudoers.d/x",
                "rm /etc/sudoers.d/x",
                "the job's user may run commands as another user by sudo, without a password",
            )
            for rules in (
                "'runner ALL=(root) NOPASSWD: /bin/ls'",
                "'runner ALL=(ALL:ALL) !ALL' 'runner ALL=(daemon) NOPASSWD: /bin/ls'",
                "'Defaults:runner !authenticate' 'runner ALL=(root) /bin/ls'",
            )
        ),
        # A stand-in that lets everybody: neither program is in the root.
        (
            "ln -s /bin/true /usr/local/bin/doas",
            "rm /usr/local/bin/doas",
            "the job's user becomes root by doas",
        ),
        ("ln -s /bin/true /usr/local/bin/pkexec", "rm /usr/local/bin/pkexec", "the job's user becomes root by pkexec"),
        ("mknod -m 666 /dev/sdz b 7 99", "rm /dev/sdz", "the job's user can read disks or memory, /dev/sdz"),
        (
            "mkdir -m 777 /etc/cron.x",
            "rmdir /etc/cron.x",
            "the job's user can change what root runs, /etc/cron.x",
        ),
        *(
            (f"mkdir -p $(dirname {file}); printf '%b' '{text}' >{file}", f"rm {file}", OF_ROOT)
            for file, text in (
                ("/etc/crontab", "17 * * * * root cd / && /opt/hook"),
                ("/etc/cron.d/x", "@daily root sh /opt/hook"),
                ("/etc/cron.d/x", "PATH=/usr/bin:/home/runner/bin"),
                ("/etc/systemd/system/x.service", "[Service]\\nExecStart=-/opt/hook --now\\n"),
                ("/etc/systemd/system/x.service", "[Service]\\nUser=runner\\nExecStartPre=+/opt/hook\\n"),
                ("/etc/systemd/system/x.service.d/y.conf", "[Service]\\nEnvironmentFile=-/home/runner/hook\\n"),
                ("/etc/ld.so.conf.d/x.conf", "/home/runner/lib"),
                ("/etc/ld.so.preload", "/home/runner/none.so"),
            )
        ),
        ("ln -s /opt/hook /etc/cron.hourly", "rm /etc/cron.hourly", OF_ROOT),
        ("ln -s /home/runner/x.service /etc/systemd/system", "rm /etc/systemd/system/x.service", OF_ROOT),
        (
            *conf("!include /home/runner/more.conf"),
            "Nix takes its configuration from what the job's user can change, /home/runner",
        ),
        (*conf("build-hook = /home/runner/hook"), "root runs what the job's user can change, build-hook = "),
        (
            "chmod 666 /nix/var/nix/db/db.sqlite",
            "chmod 644 /nix/var/nix/db/db.sqlite",
            "the job's user can write Nix's store, /nix/var/nix/db/db.sqlite",
        ),
        ("chown runner /etc/kept", "chown root /etc/kept", "the job's user can change what the uploader works on"),
        (*conf("sandbox = false"), NOT_SANDBOXED),
        (*conf("sandbox = relaxed"), NOT_SANDBOXED),
        (*conf("sandbox-fallback = true"), NOT_SANDBOXED),
        (*conf("require-sigs = false"), "Nix takes unsigned paths from everybody (require-sigs = false)"),
        (*conf("build-users-group ="), "builds run as root (build-users-group is empty)"),
        (*conf("post-build-hook = /bin/true"), "Nix calls another hook, /bin/true"),
        (*conf("pre-build-hook = /home/runner/hook"), "root runs what the job's user can change, pre-build-hook = "),
        (*conf("diff-hook = /home/runner/hook"), "root runs what the job's user can change, diff-hook = "),
        (
            *conf("pre-build-hook = /opt/hook"),
            "what the job's user can change, pre-build-hook = /home/runner",
        ),
        (
            *conf("plugin-files = /home/runner/plugins"),
            "what the job's user can change, plugin-files = /home",
        ),
        (
            *conf("builders = @/home/runner/hook"),
            "on machines that the job's user can name, builders = /home",
        ),
        (
            "mv /usr/bin/nix-daemon /home/runner; ln -s /home/runner/nix-daemon /usr/bin",
            "mv /home/runner/nix-daemon /usr/bin",
            "the job's user can change the Nix that the uploader and root run, /home/runner",
        ),
        (*conf("substituters = http://h?trusted=true"), "Nix takes unsigned paths from http://h?trusted=true"),
        (*conf("trusted-substituters = file:///x?priority=1&trusted=1"), "Nix takes unsigned paths from file:///x"),
        (*conf("extra-sandbox-paths = /x=/home/runner?"), "builds see a path that the job's user can change, /home/"),
    ],
)
def test_what_is_open_is_found(closed: Machine, opened: str, closing: str, sentence: str) -> None:
    closed.sh("touch /home/runner/hook; chown runner: /home/runner/hook")
    closed.sh("mkdir -p /home/runner/plugins; ln -sfn /bin/true /home/runner/link; ln -sfn /home/runner/link /opt/hook")
    try:
        closed.sh(opened)
        found = ways(closed, "/etc/kept")
    finally:
        closed.sh(closing)
    assert [way for way in found if sentence in way], found


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("/etc/cron.d/x", "* * * * * runner /home/runner/hook\\n# * * * * * root /home/runner/hook\\n"),
        ("/etc/systemd/system/x.service", "[Service]\\nUser=runner\\nExecStart=/home/runner/hook\\n"),
        ("/etc/sudoers.d/x", "runner ALL=(ALL) NOPASSWD: ALL\\nrunner ALL=(ALL:ALL) !ALL\\n"),
    ],
    ids=["cron", "unit", "sudo"],
)
def test_what_root_does_not_run_or_denies_is_not_named(closed: Machine, file: str, text: str) -> None:
    closed.sh("touch /home/runner/hook; chown runner: /home/runner/hook")
    closed.sh(f"mkdir -p $(dirname {file}); printf '%b' '{text}' >{file}")
    try:
        assert ways(closed) == []
    finally:
        closed.sh(f"rm {file}")


def test_an_unsigned_substituter_that_is_not_one_is_not_named(closed: Machine) -> None:
    before, after = conf("substituters = http://h?trusted=false http://i?trusted=0 file:///j?priority=1&trusted=no")
    try:
        closed.sh(before)
        assert ways(closed) == []
    finally:
        closed.sh(after)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("127.0.0.1", "2375"), "a Docker engine answers at 127.0.0.1:2375"),
        (("/run/docker.sock",), "the job's user can connect to /run/docker.sock"),
        (("/srv/docker.sock",), "the job's user can connect to /srv/docker.sock"),
        (("/run/cri-dockerd.sock",), "the job's user can connect to /run/cri-dockerd.sock"),
        (("/run/dotnet-diagnostic-9-9-socket",), "can read the memory of another process, as the runner's, by /run/"),
    ],
)
def test_what_listens_is_found(closed: Machine, words: tuple[str, ...], sentence: str) -> None:
    with closed.start(programs.python("listen.py", *words)):
        wait_for(lambda: closed.sh(f"ss -lnxt | grep -q '{words[-1]}'", check=False).returncode == 0, "the listener")
        if words[0].startswith("/"):
            closed.sh(f"chmod 666 {words[0]}")
        found = ways(closed)
    closed.sh(f"rm -f {words[0]}")
    assert [way for way in found if sentence in way], found


def test_the_diagnostic_port_of_a_process_of_dotnet_is_found(closed: Machine) -> None:
    with closed.start(programs.python("dotnet.py"), user="runner"):
        wait_for(lambda: closed.exists(dotnet.PIPE), "the port")
        (found,) = ways(closed)
        closed.sh(f"chown root: {dotnet.PORT} {dotnet.PIPE}")
        assert ways(closed) == []
    closed.sh(f"rm {dotnet.PORT} {dotnet.PIPE}")
    assert "can read the memory of another process" in found
    assert dotnet.PORT in found
    assert dotnet.PIPE in found


def test_a_user_whom_the_daemon_trusts_is_found(closed: Machine) -> None:
    before, after = conf("trusted-users = root runner")
    closed.sh(f"{before}; pkill -x nix-daemon")
    with nix.start_daemon(closed):
        found = ways(closed)
    closed.sh(f"{after}; pkill -x nix-daemon || true")
    nix.start_daemon(closed)
    assert "the job's user is a trusted user of the nix-daemon" in found


def test_capabilities_and_a_python_of_the_users_own_are_found(closed: Machine) -> None:
    caps = "+net_admin"
    prefix = (
        "setpriv",
        "--reuid=runner",
        "--regid=runner",
        "--init-groups",
        f"--inh-caps={caps}",
        f"--ambient-caps={caps}",
    )
    assert "the job's user has capabilities of root" in ways(closed, prefix=(*prefix, "env", "HOME=/home/runner"))
    closed.sh("cp /usr/bin/python3 /home/runner/python", user="runner")
    found = ways(closed, python="/home/runner/python")
    assert [way for way in found if way.startswith("the uploader's Python can be changed by the job's user, ")], found


@pytest.mark.parametrize(
    ("cloud", "address", "serves", "sentence"),
    [
        ("aws", "169.254.169.254", "aws", "AWS's metadata service at 169.254.169.254 gives the job's user"),
        ("aws", "fd00:ec2::254", "aws", "AWS's metadata service at [fd00:ec2::254] gives the job's user"),
        ("google", "169.254.169.254", "google", "Google's metadata service at 169.254.169.254 gives the job's user"),
        ("azure", "169.254.169.254", "azure", "Azure's metadata service at 169.254.169.254 gives the job's user"),
    ],
)
def test_a_cloud_that_gives_its_credentials_to_everybody_is_found(
    closed: Machine, cloud: str, address: str, serves: str, sentence: str
) -> None:
    kind, size = ("-6", "128 nodad") if ":" in address else ("-4", "32")
    closed.sh(f"ip {kind} addr add {address}/{size} dev lo")
    try:
        with closed.start(programs.python("metadata.py", address, "80", serves)):
            wait_for(lambda: closed.sh("ss -lnt | grep -q ':80 '", check=False).returncode == 0, "the service")
            found = ways(closed, f"cloud={cloud}")
            assert ways(closed) == []
    finally:
        closed.sh(f"ip {kind} addr del {address}/{size.split()[0]} dev lo")
    assert [way for way in found if sentence in way], found


@pytest.mark.parametrize(
    ("daemon", "inputs", "sentence"),
    [
        (True, {"cache": "local?root=/tmp/other"}, "uploads to local are made with the rights of the job's own user"),
        (True, {"harden": "false"}, "the job's user can become root, so its code could read the key"),
        (False, {}, "the uploader runs as the job's own user, so its code could take the key"),
    ],
)
def test_what_no_hardening_takes_away_is_in_the_report(
    machine: MakeMachine, daemon: bool, inputs: dict[str, str], sentence: str
) -> None:
    made = debian(machine, roots.RECENT, "runner", sudo=True).machine
    nix.with_daemon(made) if daemon else nix.without_daemon(made, "runner")
    given = {"cache": "file:///srv/cache", "signing-key": Job(made).keygen(), "harden": "true", **inputs}
    made.sh("mkdir -m 777 /srv/cache")
    said = Job(made, "runner", given, name="job").said("setup", check=False)
    assert f"the key or poison the cache: no, {sentence}" in said or f"::harden: {sentence}" in said, said


@pytest.mark.parametrize(
    "start",
    [
        "python3 -u /opt/agent/agent.py",
        "cd /opt/agent && python3 agent.py",
        "cd /opt/agent && exec -a agent ./sleep 600",
        "PYTHONPATH=/opt/agent python3 -c 'import time; time.sleep(600)'",
        "PATH=/opt/agent/bin:$PATH sleep 600",
    ],
    ids=["script after an option", "relative script", "the program itself", "PYTHONPATH", "PATH"],
)
def test_what_root_runs_is_found_however_it_was_started(closed: Machine, start: str) -> None:
    """Some of it only root can see: it is asked, as set-up does, before it is given up."""
    closed.write("/opt/agent/agent.py", "import time\ntime.sleep(600)\n")
    closed.sh("cp /bin/sleep /opt/agent; chown -R runner: /opt/agent")
    with closed.start(["bash", "-c", start]) as process:
        wait_for(lambda: closed.sh("pgrep -f 'agent|sleep.600'", check=False).returncode == 0, "the agent")
        run = closed.run(programs.python("root_programs.py"), env=product.environment(), cwd="/").stdout
        found = ways(closed, *(f"program={line}" for line in run.splitlines()))
        process.kill()
    closed.sh("rm -r /opt/agent")
    assert [way for way in found if "can change what root runs, /opt/agent" in way], (found, run)
