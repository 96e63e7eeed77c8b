"""All benchmarks, one after the other, each in a process of its own; names as arguments choose some of them.

All together write the figures and pictures of the documentation. `--quick` takes under two minutes and writes its own
into the directory `build`.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.bench import report
from tests.bench.measure import QUICK, ROWS
from tests.harness.tools import PROJECT

ALL = ("hook", "action", "start", "install", "read", "push", "memory", "gc", "job", "hosts_cache")
SHORT = ("hook", "start", "read", "push", "job")


def main(words: list[str]) -> int:
    quick = "--quick" in words
    names = [word for word in words if word != "--quick"] or (SHORT if quick else ALL)
    built = PROJECT / "build" / "bench"
    built.mkdir(parents=True, exist_ok=True)
    rows = built / ("quick.jsonl" if quick else "rows.jsonl")
    environ = {**os.environ, ROWS: str(rows), **({QUICK: "1"} if quick else {})}
    begun, worst = time.monotonic(), 0
    for name in names:
        _replace(rows, name)
        worst = max(worst, subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], env=environ).returncode)
    print(f"\n{time.monotonic() - begun:.0f} s")
    for written in (rows, *report.write(rows, built if quick else PROJECT / "docs", quick=quick)):
        os.chown(written, PROJECT.stat().st_uid, PROJECT.stat().st_gid)  # not root's, under sudo
    return worst


def _replace(rows: Path, name: str) -> None:
    """Drop the rows of an earlier run of this benchmark: one may be measured by itself."""
    lines = rows.read_text().splitlines() if rows.exists() else []
    kept, of = [], ""
    for line in lines:
        of = json.loads(line).get("bench", of)
        if of != name:
            kept.append(line)
    rows.write_text("".join(f"{line}\n" for line in [*kept, json.dumps({"bench": name})]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
