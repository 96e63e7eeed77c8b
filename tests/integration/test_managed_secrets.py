"""A provisioned machine's secrets: refused where others may read them, and tried by each job."""

from tests.conftest import MakeMachine
from tests.harness import nix, product
from tests.harness.job import Job
from tests.harness.machine import PATH
from tests.harness.roots import RECENT

FILE = "/etc/nix-autocache.toml"
PLAIN = 'cache = "file:///srv/cache"\nsigning-key = "file:/etc/key"\n'
HOLDS = {
    "signing-key": 'cache = "file:///srv/cache"\nsigning-key = "{key}"\n',
    "cache": 'cache = "http://user:hunter2@127.0.0.1:9/"\nsigning-key = "file:/etc/key"\n',
    "nix-url": PLAIN + f'nix-url = "https://user:hunter2@host/nix.tar.xz"\nnix-sha256 = "{"0" * 64}"\n',
    "extra-nix-conf": PLAIN + 'extra-nix-conf = "extra-substituters = https://user:hunter2@host"\n',
    "AWS_SECRET_ACCESS_KEY": PLAIN + '[environment]\nAWS_SECRET_ACCESS_KEY = "hunter2"\n',
    "AWS_SESSION_TOKEN": PLAIN + '[environment]\nAWS_SESSION_TOKEN = "hunter2"\n',
    "AZURE_STORAGE_SAS_KEY": PLAIN + '[environment]\nAZURE_STORAGE_SAS_KEY = "hunter2"\n',
    "GOOGLE_SERVICE_ACCOUNT_KEY": PLAIN + '[environment]\nGOOGLE_SERVICE_ACCOUNT_KEY = "hunter2"\n',
    "HTTPS_PROXY": PLAIN + '[environment]\nHTTPS_PROXY = "http://user:hunter2@proxy"\n',
    "https_proxy": PLAIN + '[environment]\nhttps_proxy = "http://user:hunter2@proxy"\n',
}


def test_secrets_that_others_may_read_are_refused_and_later_found(machine: MakeMachine) -> None:
    made = machine(RECENT, product.binds())
    made.add_user("runner")
    nix.with_daemon(made, "trusted-users = root\n")
    key = Job(made).keygen("machine-1")
    made.write("/etc/key", key, 0o600)
    for name, text in HOLDS.items():
        made.write(FILE, text.format(key=key), 0o644)
        said = Job(made).said("provision", check=False)
        assert f"{FILE} holds a secret ({name}) and others may read it; run chmod 600 {FILE}" in said
        assert "hunter2" not in said
    made.write(FILE, PLAIN, 0o664)
    assert f"{FILE} can be changed by others than root" in Job(made).said("provision", check=False)
    made.write(FILE, PLAIN, 0o600, owner="runner")
    assert f"{FILE} can be changed by others than root" in Job(made).said("provision", check=False)
    made.sh(f"chown root {FILE}; chown runner /etc/key")
    assert "/etc/key can be changed by others than root" in Job(made).said("provision", check=False)
    made.sh(f"chown root /etc/key; chmod 644 {FILE}")
    Job(made).run("provision")
    reads, changes = "can read the secrets of the machine's uploader, /etc/key", "can change what the uploader works on"
    said = Job(made, "runner").said("setup")
    assert reads not in said
    assert changes not in said
    made.sh("chmod 644 /etc/key")
    assert reads in Job(made, "runner").said("setup")
    made.sh(f"chmod 600 /etc/key; chmod 666 {FILE}")
    assert f"{changes}, {FILE}" in Job(made, "runner").said("setup")
    made.sh(f"chmod 600 {FILE}; mkdir -p /opt/py/bin; ln -s /usr/bin/python3 /opt/py/bin; chown -R runner /opt/py")
    Job(made, env={"PATH": f"/opt/py/bin:{PATH}"}).run("provision")
    assert f"{changes}, /opt/py" in Job(made, "runner").said("setup"), "the service's Python, though not the job's own"
    made.write("/opt/helper", "#!/bin/sh\n", 0o755, owner="runner")
    made.write("/etc/aws", "[default]\ncredential_process = /opt/helper --role x\n", 0o600)
    made.write("/srv/token", "a token", 0o644)
    variables = 'AWS_CONFIG_FILE = "/etc/aws"\nAWS_WEB_IDENTITY_TOKEN_FILE = "/srv/token"\n'
    made.write(FILE, f"{PLAIN}[environment]\n{variables}", 0o600)
    Job(made).run("provision")
    said = Job(made, "runner").said("setup")
    assert f"{changes}, /opt/helper" in said
    assert "can read the secrets of the machine's uploader, /srv/token" in said
