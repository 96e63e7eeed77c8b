"""Cache schemes: what is known of each kind of store URL.

Use `table.scheme` for the row of a scheme; `scheme.Scheme` says what is in it.
"""
