"""Lock every file of our state that the user can open, print `held`, and keep the locks."""

import fcntl
import os
import signal

held = []
for directory, _, names in os.walk("/var/lib/nix-autocache"):
    for name in names:
        try:
            file = os.open(os.path.join(directory, name), os.O_RDONLY | os.O_NONBLOCK)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held.append(file)
        except OSError:
            pass
print("held", flush=True)
signal.pause()
