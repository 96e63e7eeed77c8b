"""From the queue to the cache: `drain` is the table of contents, `plan`, `pack` and `push` do one thing each."""
