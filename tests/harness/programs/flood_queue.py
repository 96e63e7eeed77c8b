"""Fill a queue with entries of paths that do not exist: `flood_queue.py DIRECTORY COUNT`."""

import sys

for number in range(int(sys.argv[2])):
    name = f"{number:032d}-nothing"
    with open(f"{sys.argv[1]}/{name}", "w") as file:
        file.write("/nix/store/" + name + "\n.\n")
