"""The uploader as a process: `client` starts it and sends requests in `protocol`, `main` runs it.

`server` reads the requests, and `states` is what the process does.
"""
