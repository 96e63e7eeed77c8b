"""The cost of the action for a job, under act with a warm environment, without Nix's own commands."""

from collections.abc import Callable

from tests.bench.measure import in_turn, rounds, verdict
from tests.harness import act, nix, product, roots
from tests.harness.machine import Machine

ROUNDS = 7
WORKFLOW = "on: push\njobs:\n  job:\n    runs-on: ubuntu-latest\n    steps:\n      - {}\n"
OURS = "uses: nix-autocache/nix-autocache@v1"
# Nix's part of the main step: one build of a derivation like the canary, and its version.
CANARY = (
    'derivation { name = "c-${toString builtins.currentTime}"; system = builtins.currentSystem; '
    'builder = "builtin:buildenv"; derivations = [ ]; manifest = builtins.toFile "m" ""; }'
)


def main() -> None:
    with Machine(roots.root(roots.NEW), [*product.binds(), *act.binds()[:2]]) as machine:
        nix.without_daemon(machine)
        machine.sh(f"mkdir -p /root/.cache/act; ln -s {product.TOOL_CACHE} /root/.cache/act/tool_cache")
        act.git_project(machine, "/ours", {".github/workflows/ci.yml": WORKFLOW.format(OURS)})
        act.git_project(machine, "/empty", {".github/workflows/ci.yml": WORKFLOW.format("run: 'true'")})
        job(machine, "/ours")
        contenders: dict[str, Callable[[], float]] = {
            "a job with nothing in it": lambda: job(machine, "/empty"),
            "a job with the action in it": lambda: job(machine, "/ours"),
            "main step": lambda: step(machine, "setup"),
            "post step, empty queue": lambda: step(machine, "finish"),
            "Nix's own part of the main step": lambda: nix_part(machine),
        }
        figures = in_turn(contenders, rounds(ROUNDS))
    figures.show(f"the action with a warm environment, Nix {roots.NEW.nix}")
    beyond = figures.median("main step") - figures.median("Nix's own part of the main step")
    verdict("main step beyond Nix's own commands, s", beyond, 0.5)
    verdict("post step with an empty queue, s", figures.median("post step, empty queue"), 0.3)


def job(machine: Machine, project: str) -> float:
    done = act.act(machine, act.Workflow(project, env=product.environment()))
    assert done.returncode == 0, done.text
    return done.seconds


def step(machine: Machine, verb: str) -> float:
    """As the JavaScript shim runs it, Node included."""
    script = {"setup": "main", "finish": "post"}[verb]
    env = {
        **product.environment(),
        "PATH": f"{act.NODE}:/usr/bin:/bin",
        "GITHUB_ACTIONS": "true",
        "RUNNER_TEMP": "/tmp",
    }
    if verb == "finish":
        env["STATE_python"] = "python3"
    env["GITHUB_EVENT_NAME"] = "push"
    return machine.run([f"{act.NODE}/node", f"/nix-autocache/src/action/{script}.mjs"], env=env).seconds


def nix_part(machine: Machine) -> float:
    command = ["sh", "-c", f"nix-build --no-out-link --expr '{CANARY}'; nix-store --version"]
    return machine.run(command).seconds


if __name__ == "__main__":
    main()
