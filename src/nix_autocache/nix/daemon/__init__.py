"""The nix-daemon: `control` starts and restarts it, under systemd, launchd or our own supervisor."""
