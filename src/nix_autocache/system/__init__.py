"""Processes, files and users of this machine. One way for each task: `process.run` and `wait_until`,
`files.write_atomically`, `locks.locked`.

Standard library only: root's half and the first steps of `setup` run without packages.
"""
