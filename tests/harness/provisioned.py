"""The files with which root provisions a machine whose cache is a bucket."""

from nix_autocache.nix import keys
from tests.harness import servers
from tests.harness.machine import Machine

KEY, NEW_KEY = keys.generate("machine-1"), keys.generate("machine-2")
CONFIGURATION = """
cache = "s3://bucket?endpoint={url}&region=us-east-1"
signing-key = "file:/etc/nix-autocache/key"
public-keys = ["{old}", "{new}"]
[environment]
AWS_SHARED_CREDENTIALS_FILE = "/etc/nix-autocache/aws"
"""
CREDENTIALS = f"[default]\naws_access_key_id = {servers.ACCESS_KEY}\naws_secret_access_key = {servers.SECRET_KEY}\n"


def configure(machine: Machine, url: str) -> None:
    machine.write("/etc/nix-autocache/aws", CREDENTIALS, mode=0o600)
    machine.write("/etc/nix-autocache/key", str(KEY), mode=0o600)
    machine.write("/etc/nix-autocache.toml", CONFIGURATION.format(url=url, old=KEY.public, new=NEW_KEY.public))
