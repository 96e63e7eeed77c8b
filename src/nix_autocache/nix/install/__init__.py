"""Installing Nix: `release` chooses a tarball, `tarball` installs it, for all users or for one."""
