"""All benchmarks, one after the other, each in a process of its own; names as arguments choose some of them."""

import subprocess
import sys
from pathlib import Path

HELPERS = {"__init__", "__main__", "measure"}


def main(chosen: list[str]) -> int:
    names = chosen or sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in HELPERS)
    return max(subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode for name in names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
