"""The test harness: throwaway machines with real Nix, real CI clients and real servers.

Start at `machine.py`, and at `job.py`, which drives the command line on a machine. `roots.py`, `release.py` and
`wheels.py` make the parts of machines and keep them in a cache directory between runs. `act.py`, `gitlab.py`,
`servers.py` and `programs/` run in machines.
"""
