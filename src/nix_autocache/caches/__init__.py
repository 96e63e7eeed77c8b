"""Destinations: one file each here, and one row in `schemes/table.py`.

Use `opening.open_cache` to open the one that a URL names, as an `ObjectCache` or a `PathCache` of `protocol`.
"""
