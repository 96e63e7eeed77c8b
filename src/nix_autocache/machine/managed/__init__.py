"""A machine that root provisions once, and whose own uploader serves all its jobs: `provision` makes one."""
