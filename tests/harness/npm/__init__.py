"""Programs from npm that tests run: a directory here for each, with its `package.json` and lock.

They are installed with their hashes into the harness's cache, when a test first needs one.
"""

import os
import shutil
import subprocess
from pathlib import Path

from tests.harness import cache, tools

_LOCKS = Path(__file__).parent


def installed(name: str) -> Path:
    """The `node_modules` of what `name` locks."""
    files = [_LOCKS / name / file for file in ("package.json", "package-lock.json")]

    def fill(path: Path) -> None:
        for file in files:
            shutil.copy(file, path)
        node = tools.node()
        npm = [node / "node", node.parent / "lib/node_modules/npm/bin/npm-cli.js"]
        env = {**os.environ, "PATH": f"{node}:{os.environ.get('PATH', os.defpath)}"}
        subprocess.run(
            [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=path, env=env, check=True
        )

    return cache.entry(f"npm-{name}-{cache.key(*(file.read_bytes() for file in files))}", fill) / "node_modules"
