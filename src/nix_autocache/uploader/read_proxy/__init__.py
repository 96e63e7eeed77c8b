"""The read proxy: an HTTP server on the loopback through which Nix reads a cache; `launch` starts it."""
