"""The Python packages of a job, from a lock with hashes: `locked.wanted` says which, and finds or installs them."""
