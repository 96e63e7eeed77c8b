"""Builds on their way to the uploader: the hook writes entries, the uploader reads them and records outcomes.

Use `directory.Queue` for entries, `outcomes.Outcomes` for results, and `hook` to install the hook and prove it fires.
"""
