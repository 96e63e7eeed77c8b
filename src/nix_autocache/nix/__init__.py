"""Nix on this machine: its formats, store, configuration, daemon and installer.

Use `store.Nix` to run its programs, `store_url` to read URLs, and `conf.NixConf` to change nix.conf.
"""
