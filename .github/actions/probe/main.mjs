// Runs tools/probe.py with the variables that GitHub gives to actions.

import { spawnSync } from "node:child_process";
import { join } from "node:path";

const { INPUT_MEASURES: measures = "", RUNNER_TEMP: temporary = "" } = process.env;
const env = { ...process.env, PYTHONPATH: `src:${join(temporary, "packages")}` };
const done = spawnSync("python3", ["tools/probe.py", ...measures.split(" ")], { stdio: "inherit", env });
process.exit(done.status ?? 1);
