"""nix-autocache: everything that Nix builds in a CI job, signed and in the binary cache.

Start reading in `steps.py`. Then follow one store path: `queue/hook.sh` notes it in the `queue`,
`uploader/drain` plans, packs and pushes it, `uploader/narinfo` is what the next job finds.
"""

import gc

__version__ = "0.1.0"

gc.set_threshold(50_000)  # imports make much that stays and no garbage: looking for it costs every step 8 ms
