"""Attacks on the signing key, by the job's own code: none succeeds in a sealed job. In an open one, where the report
has said so, the same attack by root finds the key, which also shows that the attack would notice it."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import graphs, programs, sealing
from tests.harness.sealing import NOT_SOLVED, Sealed

# All that is written to on such a machine.
EVERYWHERE = "grep -rslF --devices=skip -- '%s' /etc /home /nix /root /run /srv /tmp /var || true"
# Reads what it can from within the sandbox; its output is what it read.
READING = f"""
let {graphs.SHELL} in sh "reading" ''
  set +e
  for place in /proc/[0-9]*/environ /proc/[0-9]*/cmdline /var/lib/nix-autocache/jobs/*/* /home/runner/* /etc/nix/*; do
    while read -r line || [ -n "$line" ]; do echo "$place: $line"; done <"$place"
  done >$out 2>&1
  echo /proc/[0-9]* >>$out
''
"""
# Not in a network of its own; if it sees our state its hash is not the one that was promised.
FIXED = """
derivation {{
  name = "fixed"; system = builtins.currentSystem; builder = "/bin/sh";
  args = [ "-c" "for place in /var/lib /home /etc/nix; do [ ! -e $place ] || echo $place; done >$out" ];
  outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = "{digest}";
}}
"""


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealed]:
    with sealing.sealed(tmp_path_factory.mktemp("sealed")) as made:
        yield made


def test_no_process_shows_the_key_to_the_jobs_user(sealed: Sealed) -> None:
    found, _ = sealed.python("read_processes.py", sealed.secret).stdout.split("\n")[:2]
    assert found == ""


def test_of_the_uploader_nothing_but_its_arguments_can_be_read(sealed: Sealed) -> None:
    said = sealed.python("read_processes.py", sealed.secret, str(sealed.uploader())).stdout
    assert said.split() == ["cmdline"]
    assert sealed.python("trace.py", str(sealed.uploader())).stdout.split() == ["-1", "-1"]


def test_the_key_is_in_no_file_of_the_machine(sealed: Sealed) -> None:
    """Looked for by root: its file is gone, and the state, the logs, nix.conf and the store never had it."""
    assert sealed.machine.sh(EVERYWHERE % sealed.secret).stdout == ""
    raw = base64.b64decode(sealed.secret)[:32].hex()
    assert sealed.machine.sh(EVERYWHERE % raw).stdout == ""


def test_the_socket_tells_no_secret(sealed: Sealed) -> None:
    requests = ['{"do": "status"}', '{"do": "job"}', '{"do": "key"}', '{"do": "flush", "seconds": 0}', '{"do": null}']
    said = sealed.python("ask.py", f"{sealed.job.directory()}/uploader.sock", *requests).stdout
    assert said.count('"done": true') == len(requests)
    assert sealed.secret not in said
    assert sealed.server.url not in said


def test_a_build_in_the_sandbox_reads_nothing_of_ours(sealed: Sealed) -> None:
    sealed.machine.write("/tmp/reading.nix", READING)
    path = sealed.job.sh("nix-build --no-out-link /tmp/reading.nix").stdout.strip()
    read = sealed.machine.read(path)
    assert sealed.secret not in read
    assert "nix_autocache" not in read
    assert "setup.json" not in read


def test_a_fixed_output_derivation_with_network_sees_nothing_of_ours(sealed: Sealed) -> None:
    sealed.machine.write("/tmp/fixed.nix", FIXED.format(digest=hashlib.sha256().hexdigest()))
    assert "fixed" in sealed.job.sh("nix-build --no-out-link /tmp/fixed.nix").stdout


def test_the_hook_says_nothing_to_who_builds(sealed: Sealed) -> None:
    sealed.machine.write("/tmp/quiet.nix", graphs.leaf("quiet"))
    said = sealed.job.sh("nix-build --no-out-link /tmp/quiet.nix 2>&1").stdout
    assert "post-build-hook" not in said
    assert sealed.secret not in said


def test_a_crash_leaves_no_core(sealed: Sealed) -> None:
    """Last, since it ends the uploader, which only root can."""
    sealed.job.run("flush")  # what the tests before built
    pid = sealed.uploader()
    assert sealed.attack(f"kill -SEGV {pid}").returncode
    assert sealed.machine.run(["stat", "--format=%U", f"/proc/{pid}/environ"]).stdout == "root\n"
    sealed.machine.sh(f"ulimit -c unlimited; kill -SEGV {pid}; while [ -e /proc/{pid} ]; do :; done")
    assert sealed.machine.sh(EVERYWHERE % sealed.secret).stdout == ""
    newer = "find / -xdev -newer /etc/nix/nix-autocache.conf -name 'core*' -type f -size +100k"
    assert sealed.machine.sh(newer).stdout == ""
    sealed.job.build("too-late")
    said = sealed.job.said("finish")
    assert "the uploader is gone, and nobody else has the key" in said, said
    assert "1 paths were not pushed in time" in said, said


def test_in_an_open_job_root_finds_the_key_and_the_report_has_said_so(tmp_path: Path) -> None:
    with sealing.job(tmp_path, inputs={"harden": "false"}) as opened:
        said = opened.job.said("setup")
        assert f"{NOT_SOLVED}the job's user can become root" in said, said
        pid = str(opened.uploader())
        opened.machine.write("/tmp/script", programs.source("read_processes.py"))
        script = opened.job.sh(f"sudo python3 /tmp/script '{opened.secret}' {pid}")
        assert f"{pid}/mem" in script.stdout
        assert opened.machine.sh(EVERYWHERE % opened.secret).stdout.split() == [sealing.KEY]
