"""Garbage collection of a cache: what it holds, what is still needed, and the deletion of the rest.

docs/garbage-collection.md has the protocol that it keeps with the pushers, and why the cache stays closed.
"""
