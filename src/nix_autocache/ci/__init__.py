"""CI hosts: what each offers to a job, behind one protocol.

Use `detect.detect` to find the `host.Host` of a job, and `id_token.IdTokenSource` for the token that it signs.
"""
