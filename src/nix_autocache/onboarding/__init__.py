"""From nothing to a green cached job: `nix-autocache init` makes bucket, key, role, secrets and workflow.

It runs on a person's machine, with the libraries of the extra `init`; no job loads anything of this package.
"""
