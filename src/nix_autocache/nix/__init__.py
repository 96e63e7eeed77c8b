"""Nix on this machine: installing, configuring and asking it."""
