"""This machine: what it allows, what we change on it, and how that is put back; root's half included.

Start with `observe.observe` and `modes.decide`; `root.call` has root do one of the verbs of `root_helper`.
"""
