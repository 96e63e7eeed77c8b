"""A machine made ready for all its jobs, by root, once: see docs/managed.md."""
