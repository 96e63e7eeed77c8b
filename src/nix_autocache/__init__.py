"""nix-autocache: everything that Nix builds in a CI job, signed and in the binary cache.

Start reading in `cli/setup.py`. Then follow one store path: `queue/hook.sh` puts it into the queue, `uploader/drain.py`
plans, packs and pushes it, and `nix/narinfo.py` renders what the next job finds. `docs/contributing.md` has the map.
"""

import gc

__version__ = "0.1.0"

gc.set_threshold(50_000)  # imports make much that stays and no garbage: looking for it costs every step 8 ms
