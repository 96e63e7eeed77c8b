"""The uploader as a process: `client` starts and asks it, `main` runs it, `server` answers on its socket."""
