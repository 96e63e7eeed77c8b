"""The test harness: throwaway machines with real Nix, real CI clients and real servers.

Start at `machine.py`; `roots.py`, `release.py` and `wheels.py` make what the machines are built from and
keep it in a cache directory between runs; `act.py` and `servers.py` are what runs in them.
"""
