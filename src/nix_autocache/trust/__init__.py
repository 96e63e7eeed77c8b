"""May this job push, and what could its code reach?

`policy.judge` decides. `isolation.of_machine` names every way to the key, a sentence each, by the probes beside it.
"""
