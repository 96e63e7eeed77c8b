"""The shape of the code: imports point one way, and a job loads only what it needs."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "nix_autocache"

# From the top floor down: a package may import those on lower floors, and its own files where they make no circle.
FLOORS = (
    {"__main__"},
    {"cli"},
    {"job", "onboarding", "collecting"},
    {"machine"},
    {"trust", "uploader"},
    {"queue", "caches", "settings"},
    {"nix", "ci"},
    {"schemes"},
    {"system"},
    {"errors"},
)


def room(parts: tuple[str, ...], depth: int) -> str:
    """The file or folder `depth` folders deep that a module lies in."""
    return parts[depth].removesuffix(".py") if len(parts) > depth else "__init__"


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    """The modules of this package that a file imports, at its top or later, as paths within the package."""
    here = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) + 1 - node.level] + tuple(node.module.split(".") if node.module else ())
            for alias in node.names:
                target = (*base, alias.name)
                is_module = PACKAGE.joinpath(*target).is_dir() or PACKAGE.joinpath(*target).with_suffix(".py").exists()
                yield target if is_module else base


def arrows(folder: Path) -> dict[str, set[str]]:
    """For each file or folder in a folder of the package, those beside it that it imports."""
    depth = len(folder.relative_to(PACKAGE).parts)
    found: dict[str, set[str]] = {}
    for path in folder.rglob("*.py"):
        origin = room(path.relative_to(PACKAGE).parts, depth)
        beside = {
            room(target, depth)
            for target in imported(path)
            if target[:depth] == folder.relative_to(PACKAGE).parts and len(target) > depth
        }
        found.setdefault(origin, set()).update(beside - {origin})
    return found


def test_a_package_imports_only_from_lower_floors() -> None:
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    wrong = [
        f"{origin} imports {target}"
        for origin, targets in arrows(PACKAGE).items()
        for target in targets
        if target != "__init__" and floor[target] <= floor[origin]
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", [path.parent for path in PACKAGE.rglob("__init__.py")], ids=lambda path: path.name)
def test_no_files_of_a_package_import_each_other(folder: Path) -> None:
    TopologicalSorter(arrows(folder)).prepare()  # raises CycleError, which names them


def drawn(mermaid: str) -> set[tuple[str, str]]:
    """The arrows of a Mermaid flowchart; `a & b --> c & d` are four."""
    found = set()
    for line in mermaid.splitlines():
        if "-->" in line:
            origins, targets = (side.split(" & ") for side in line.strip().split(" --> "))
            found |= {(origin, target) for origin in origins for target in targets}
    return found


def below(origin: str, imports: dict[str, set[str]]) -> set[str]:
    """All that a package imports, itself or through others."""
    return {each for target in imports[origin] for each in (target, *below(target, imports))}


def test_the_picture_in_the_documentation_shows_the_imports() -> None:
    """Without the arrows that follow from others: those would hide the rest."""
    doors = {"__init__", "__main__"}
    imports = {origin: targets - doors for origin, targets in arrows(PACKAGE).items() if origin not in doors}
    needed = {
        (origin, target)
        for origin, targets in imports.items()
        for target in targets
        if not any(target in below(other, imports) for other in targets)
    }
    text = (ROOT / "docs/how-it-works.md").read_text(encoding="utf-8")
    assert drawn(text.split("```mermaid")[1].split("```")[0]) == needed


def test_the_table_in_the_documentation_has_every_package() -> None:
    text = (ROOT / "docs/contributing.md").read_text(encoding="utf-8")
    table = text.split("| package or module |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", table, re.MULTILINE)
    assert sorted(rows) == sorted(set(arrows(PACKAGE)) - {"__init__", "__main__"})


def test_a_package_says_what_it_is_for_and_imports_nothing() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), f"{path.parent.name} has no docstring"
        if path.parent != PACKAGE:
            assert len(tree.body) == 1, f"{path.parent.name}/__init__.py does more than say what it is for"


def test_setup_needs_no_package_before_the_environment_is_made() -> None:
    """`-S` and no site: what is imported here must be in the standard library."""
    command = [sys.executable, "-S", "-s", "-c", "import nix_autocache.cli.bootstrap, nix_autocache.cli.main"]
    done = subprocess.run(command, env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_job_that_caches_to_a_directory_never_loads_boto3() -> None:
    script = """
import sys
from nix_autocache.caches.opening import open_cache
from nix_autocache.caches.protocol import Access
from nix_autocache.nix.store import Nix
from nix_autocache.nix.store_url import parse_cache_url
from pathlib import Path
import nix_autocache.uploader.process.main, nix_autocache.uploader.drain
open_cache(parse_cache_url("file:///tmp"), Access({}, Nix(Path("/")), None))
assert "boto3" not in sys.modules and "actions_toolkit" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_job_with_the_cache_of_its_host_loads_no_client_of_object_stores() -> None:
    """Its packages lack them: see requirements/gha.txt."""
    script = """
import sys
sys.modules.update(dict.fromkeys(["obstore", "boto3", "botocore"]))  # to import one raises ImportError
from nix_autocache.caches.opening import open_cache
from nix_autocache.caches.protocol import Access
from nix_autocache.ci.lane import Lane
from nix_autocache.nix.store import Nix
from nix_autocache.nix.store_url import parse_cache_url
from pathlib import Path
import nix_autocache.uploader.process.main, nix_autocache.uploader.process.states, nix_autocache.uploader.drain
import nix_autocache.uploader.push, nix_autocache.uploader.read_proxy.ahead, nix_autocache.uploader.foreground
access = Access({"ACTIONS_CACHE_URL": "http://127.0.0.1:1/"}, Nix(Path("/")), None, lanes=(Lane("0" * 16, "0" * 8),))
open_cache(parse_cache_url("gha://"), access)
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
MAKERS = {"system/files.py", "system/trees.py", "nix/install/unpack.py", "machine/packages/wheels.py"}


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


def modules() -> Iterator[tuple[str, ast.Module]]:
    """The modules of the package, by their paths in it."""
    for path in PACKAGE.rglob("*.py"):
        yield str(path.relative_to(PACKAGE)), ast.parse(path.read_text())


def is_process(tree: ast.Module) -> bool:
    """True for a module that is run as a process of our own."""
    return any(isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in tree.body)


def test_the_environment_is_read_where_processes_begin() -> None:
    """`os.environ` elsewhere would be an input that no caller sees."""
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in modules()
        if not (name.startswith("cli/") or name == "system/process.py" or is_process(tree))
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.environb", "os.getenv"}
    ]
    assert wrong == []


# Root's helper prints its answer, which its caller reads; a person reads the terminal of `init`.
PRINTING = {"system/log.py", "machine/root_helper.py", "onboarding/terminal.py"}


def test_only_hosts_commands_and_logs_print() -> None:
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in modules()
        if not name.startswith(("ci/", "cli/")) and name not in PRINTING
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id == "print")
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in {"sys.stdout.write", "sys.stderr.write"})
    ]
    assert wrong == []


BROAD = {"BaseException", "Exception", "Error"}
CATCHING = {
    "job/uploader_start.py",  # where the read proxy does not start, Nix reads the cache by itself
    "job/own_uploads.py",  # the end of a job reports what it could not upload
    "machine/root_helper.py",  # it answers with the error
    "machine/managed/keeper.py",  # it starts the uploader again
    "system/log.py",  # a log that cannot be written ends nothing
    "caches/http_status.py",  # whether an upload that failed is there all the same
    "caches/prefetch.py",  # the reader gets the error
    "caches/region.py",  # a hint for a message
    "caches/retry_after.py",  # without an answer, our own backoff decides
}


def caught(node: ast.AST) -> set[str]:
    """The names of what a handler or a `suppress` catches; BaseException for one that names nothing."""
    if isinstance(node, ast.ExceptHandler):
        if any(isinstance(each, ast.Raise) for each in ast.walk(node)):
            return set()
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type] if node.type else []
        return set(map(ast.unparse, kinds)) or {"BaseException"}
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "suppress":
        return set(map(ast.unparse, node.args))
    return set()


def test_errors_of_any_kind_are_caught_where_a_process_must_go_on() -> None:
    wrong = [
        f"{name}:{getattr(node, 'lineno', 0)}"
        for name, tree in modules()
        if not name.startswith(("cli/", "uploader/")) and name not in CATCHING
        for node in ast.walk(tree)
        if caught(node) & BROAD
    ]
    assert wrong == []


# Pauses, whose length is a backoff or which nothing but time ends; a condition is waited for with `wait_until`.
SLEEPING = {
    "system/process.py": 1,
    "nix/daemon/supervisor.py": 3,
    "nix/install/download.py": 1,
    "machine/managed/keeper.py": 1,
    "job/shared_uploads.py": 1,
    "uploader/process/client.py": 1,
    "uploader/process/server.py": 2,
    "uploader/read_proxy/launch.py": 1,
    "uploader/read_proxy/main.py": 1,
    "uploader/read_proxy/reports.py": 1,
}


def test_conditions_are_waited_for_in_one_way() -> None:
    sleeps = {name: ast.unparse(tree).count("time.sleep(") for name, tree in modules()}
    assert [name for name, count in sleeps.items() if count > SLEEPING.get(name, 0)] == []


TESTS = Path(__file__).parents[1]


def test_the_tests_of_a_module_are_found_by_its_name() -> None:
    """`uploader/ledger.py` has `unit/uploader/test_ledger.py`, and beside it `test_ledger_<aspect>.py`."""
    strangers = []
    for path in (TESTS / "unit").rglob("test_*.py"):
        folder = SOURCE / "nix_autocache" / path.relative_to(TESTS / "unit").parent
        words = path.stem.split("_")[1:]
        modules = {"_".join(words[:count]) for count in range(1, len(words) + 1)}
        if path.parent != TESTS / "unit" and not any((folder / f"{name}.py").exists() for name in modules):
            strangers.append(path.relative_to(TESTS))
    assert strangers == []


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
