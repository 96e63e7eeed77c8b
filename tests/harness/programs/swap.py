"""Turn directories into links to another place and back, over and over, as whoever may write where they are.

`python3 swap.py DIRECTORY TARGET`: what walks through DIRECTORY by names finds a link where there was a directory.
"""

import os
import sys
from contextlib import suppress


def main(directory: str, target: str) -> None:
    here = os.open(directory, os.O_DIRECTORY)
    names = [f"d{number}" for number in range(50)]
    for name in names:
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_DIRECTORY, dir_fd=here)
        for number in range(500):
            os.close(os.open(f"f{number}", os.O_CREAT, dir_fd=inner))
        os.close(inner)
    print("ready", flush=True)
    while os.fstat(here).st_nlink:
        for name in names:
            with suppress(OSError):
                os.rename(name, f"{name}.away", src_dir_fd=here, dst_dir_fd=here)
            with suppress(OSError):
                os.symlink(target, name, dir_fd=here)
            with suppress(OSError):
                os.unlink(name, dir_fd=here)
            with suppress(OSError):
                os.rename(f"{name}.away", name, src_dir_fd=here, dst_dir_fd=here)


if __name__ == "__main__":
    main(*sys.argv[1:])
