// Finds a Python and runs the command line with it. All else, the environment of packages included, is Python's
// affair (nix_autocache/cli/bootstrap.py), since GitLab has no Node to do it with. No npm packages.

import { spawn, spawnSync } from "node:child_process";
import { appendFileSync, mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const source = dirname(dirname(fileURLToPath(import.meta.url)));
const oldest = "3.11";

/** Run a verb, with its output and our signals passed through; the process ends with its exit status. */
export function run(verb) {
  if (verb === "finish" && process.env.STATE_failed) {
    console.log("nix-autocache: the set-up failed, as its step says; there is nothing to finish");
    process.exit(0);
  }
  const python = process.env.STATE_python || findPython() || pythonFromNix();
  if (!python) {
    const why = "and there is no Nix, or it could get none (see above)";
    end(`Python ${oldest} or newer is needed, ${why}: put actions/setup-python before this step, or install python3`);
  }
  remember("python", python);
  process.umask(0o022); // or others could change the compiled Python that this makes
  const child = spawn(python, ["-sP", "-m", "nix_autocache.cli.bootstrap", verb], { stdio: "inherit", env: environment() });
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => end(`cannot run ${python}: ${error.message}`));
  child.on("exit", (code) => {
    // After these a set-up has left nothing behind, and the post step would only fail in the same way once more.
    if (code === 2 || code === 3) remember("failed", "true");
    process.exit(code ?? 1);
  });
}

/** This runner cannot do it. */
function end(reason) {
  remember("failed", "true");
  console.log(`::error title=nix-autocache::${reason.replaceAll("%", "%25").replaceAll("\n", " ")}`);
  process.exit(3);
}

/** The job's own Python settings must not change what we import. */
function environment() {
  const kept = Object.entries(process.env).filter(([name]) => !/^(NIX_)?PYTHON/.test(name));
  return { ...Object.fromEntries(kept), PYTHONPATH: source, PYTHONUTF8: "1" };
}

/** The first Python that is new enough: on PATH, then in the runner's tool cache, the newest first. */
function findPython() {
  const onPath = ["python3", "python3.14", "python3.13", "python3.12", "python3.11"];
  return [...onPath, ...toolCache()].find(isNewEnough);
}

function isNewEnough(python) {
  const check = `import sys; sys.exit(sys.version_info < (${oldest.replace(".", ", ")}))`;
  return spawnSync(python, ["-IBc", check], { stdio: "ignore" }).status === 0;
}

function toolCache() {
  const pythons = join(process.env.RUNNER_TOOL_CACHE || "/opt/hostedtoolcache", "Python");
  const architecture = process.arch === "arm64" ? "arm64" : "x64";
  try {
    const versions = readdirSync(pythons).sort(new Intl.Collator("en", { numeric: true }).compare).reverse();
    return versions.map((version) => join(pythons, version, architecture, "bin", "python3"));
  } catch {
    return []; // no tool cache on this runner
  }
}

/** The Python that Nix can get, as GitLab's template gets it. A link in a directory of this job keeps it in the store. */
function pythonFromNix() {
  const link = join(mkdtempSync(join(process.env.RUNNER_TEMP || tmpdir(), "nix-autocache-python-")), "python");
  const script = '. "$1" && nix_autocache_python_from_nix "$2" >&2 && echo "$nix_autocache_python"';
  const words = ["-c", script, "sh", join(source, "gitlab/python.sh"), link];
  const done = spawnSync("sh", words, { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" });
  return done.status === 0 && done.stdout.trim();
}

/** Keep a value for the post step. */
function remember(name, value) {
  try {
    if (process.env.GITHUB_STATE) appendFileSync(process.env.GITHUB_STATE, `${name}=${value}\n`);
  } catch {
    // the post step looks for it again
  }
}
