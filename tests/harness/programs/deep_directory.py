"""Make a directory that is 3,000 levels deep: `deep_directory.py DIRECTORY`."""

import os
import sys

here = os.open(sys.argv[1], os.O_DIRECTORY)
for _ in range(3000):
    os.mkdir("d", dir_fd=here)
    here = os.open("d", os.O_DIRECTORY, dir_fd=here)
