"""Run a command; print its seconds, and the largest memory of a process of it: `measure.py COMMAND…`."""

import json
import resource
import subprocess
import sys
import time

begun = time.monotonic()
subprocess.run(sys.argv[1:], check=True, stdout=2)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"seconds": time.monotonic() - begun, "megabytes": used.ru_maxrss / 1000}))
