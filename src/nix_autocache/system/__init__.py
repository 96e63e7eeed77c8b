"""Processes and files of this machine, the one way of each: `process.run`, `files.write_atomically`, `files.locked`.

Standard library only, since root's half and the set-up before any package use it.
"""
