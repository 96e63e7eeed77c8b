"""From the queue into a cache: the background process that does it, and the read proxy that it runs for Nix.

Give a `spec.UploadSpec` to `process.client.UploaderClient`, which starts the process and asks it to flush;
`foreground` does the same work without a process.
"""
