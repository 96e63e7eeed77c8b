"""The shape of the code: imports point one way, and a job loads only what it needs."""

import ast
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
PACKAGE = SOURCE / "nix_autocache"

# cli → steps → the parts → what they share. A module may import its own layer and those below.
LAYERS = (
    {"__main__", "bootstrap"},
    {"cli"},
    {"errands"},
    {"steps"},
    {"managed"},
    {"isolation"},
    {"pushing", "in_effect", "registering", "advice", "later"},
    {"jobs", "store_scan"},
    {"handover"},
    {"context", "report", "destination", "session"},
    {"runner"},
    {"privileged", "installation", "provisioning"},
    {"registry"},
    {"apart", "harden", "provisioned", "environment"},
    {"places", "installed", "sudoers"},
    {"trust", "uploader"},
    {"exposure"},
    {
        "queue",
        "caches",
        "aws",
        "metadata",
        "settings",
        "unattended",
        "installers",
        "wheels",
    },
    {"nix", "ci"},
    {"system"},
    {"errors", "schemes"},
)
# The store's vocabulary is what caches and the queue are asked about.
EXCEPTIONS = {("caches", "nix")}


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The parts of this package that a module imports, at its top or later."""
    depth = len(path.relative_to(PACKAGE).parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
            found |= {name for name in names if (PACKAGE / name).exists() or (PACKAGE / f"{name}.py").exists()}
    return found


def test_imports_point_one_way() -> None:
    layer = {name: number for number, names in enumerate(LAYERS) for name in names}
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        if (module := module_of(path)) == "__init__":
            continue
        assert module in layer, f"{module} has no layer: add it to LAYERS"
        wrong += [
            f"{module} imports {name}"
            for name in imports(path)
            if layer[name] < layer[module] and (module, name) not in EXCEPTIONS
        ]
    assert wrong == []


def test_setup_needs_no_package_before_the_environment_is_made() -> None:
    """`-S` and no site: what is imported here must be in the standard library."""
    command = [sys.executable, "-S", "-s", "-c", "import nix_autocache.bootstrap, nix_autocache.cli"]
    done = subprocess.run(command, env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_job_that_caches_to_a_directory_never_loads_boto3() -> None:
    script = """
import sys
from nix_autocache.caches import Access, open_cache
from nix_autocache.nix.store import Nix
from nix_autocache.nix.store_url import parse_cache_url
from pathlib import Path
import nix_autocache.uploader.daemon, nix_autocache.uploader.drain
open_cache(parse_cache_url("file:///tmp"), Access({}, Nix(Path("/")), None))
assert "boto3" not in sys.modules and "actions_toolkit" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_functions_stay_short() -> None:
    long = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno > 60:
                long.append(f"{path.name}: {node.name}")
    assert long == []


# What makes a file or a directory, or gives it a mode or an owner. `system/files.py` does it for all others.
MAKING = {
    "chmod", "chown", "copy2", "copyfile", "copytree", "fchmod", "fchown", "lchown", "makedirs", "mkdir", "mkfifo",
    "mknod", "touch", "write_bytes", "write_text",
}  # fmt: skip
# A release and wheels are unpacked where nobody else looks, and get their modes before they are seen.
MAKERS = {"system/files.py", "system/removal.py", "nix/install/unpack.py", "wheels.py"}


def makes(node: ast.AST) -> bool:
    """True for a call that makes something whose mode depends on the umask."""
    if not isinstance(node, ast.Call):
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    words = [*node.args, *(keyword.value for keyword in node.keywords)]
    modes = [word.value for word in words if isinstance(word, ast.Constant) and isinstance(word.value, str)]
    if called == "open":
        return any(set(mode) & set("wax") and set(mode) <= set("rwaxbt+") for mode in modes)
    return called in MAKING


def test_modes_are_said_in_one_place() -> None:
    """Under umask 0 a build of another user's could replace what others make, root's hook for one."""
    wrong = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node)}"
        for path in PACKAGE.rglob("*.py")
        if str(path.relative_to(PACKAGE)) not in MAKERS
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and (makes(node) or "O_CREAT" in ast.unparse(node))
    ]
    assert wrong == []


def test_one_module_starts_programs() -> None:
    """It gives each the working directory, the environment and the user that were meant: nobody else may."""
    starters = {"fork_exec", "popen", "posix_spawn", "posix_spawnp", "spawnv", "spawnve", "startfile", "system"}
    found = []
    for path in PACKAGE.rglob("*.py"):
        if path == PACKAGE / "system" / "process.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            module = node.module if isinstance(node, ast.ImportFrom) else None
            used = node.attr if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) else ""
            of_os = used in starters or used.startswith("exec")
            if {"subprocess", "pty", "multiprocessing"} & {*names, module}:
                found.append(f"{path.name} imports {module or names}")
            elif of_os and isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "os":
                found.append(f"{path.name} calls os.{used}")
    assert found == []


TESTS = Path(__file__).parents[1]


def test_no_test_file_imports_another() -> None:
    """Helpers that several tests use are in the harness."""
    wrong = []
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            if any(part.startswith("test_") for name in names for part in name.split(".")):
                wrong.append(f"{path.relative_to(TESTS)}:{node.lineno}: {ast.unparse(node)}")
    assert wrong == []


def uses(node: ast.AST) -> set[str]:
    """The names that a statement refers to; parameters and the names of fixtures in strings count."""
    found = set()
    for each in ast.walk(node):
        match each:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.alias(name=name):
                found.add(name)
            case ast.Call(func=ast.Attribute(attr="getfixturevalue" | "usefixtures"), args=words):
                found |= {str(word.value) for word in words if isinstance(word, ast.Constant)}
    return found


def is_called_by_pytest(node: ast.FunctionDef) -> bool:
    return node.name.startswith(("test_", "pytest_")) or any(
        "autouse=True" in ast.unparse(each) for each in node.decorator_list
    )


def test_every_helper_and_fixture_of_the_tests_is_used() -> None:
    """A helper that nobody calls was a test once, or should become one."""
    statements = [(path, node) for path in TESTS.rglob("*.py") for node in ast.parse(path.read_text()).body]
    used = [uses(node) for _, node in statements]
    unused = [
        f"{path.relative_to(TESTS)}:{node.lineno}: {node.name}"
        for number, (path, node) in enumerate(statements)
        if isinstance(node, ast.FunctionDef)
        and not is_called_by_pytest(node)
        and not any(node.name in names for other, names in enumerate(used) if other != number)
    ]
    assert unused == []
