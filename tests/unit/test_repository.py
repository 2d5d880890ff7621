"""The repository itself: what stands where, that lists are complete and that versions agree."""

from __future__ import annotations

import ast
import fnmatch
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import worker
from worker.domain import errors
from worker.domain.errors import Reason, SafelightError

ROOT = Path(__file__).parents[2]
FOLDERS = ("worker", "batch", "pulumi", "tests")
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

TOP_LEVEL = {
    *("images", "worker", "batch", "pulumi", "tests", "docs", "findings"),
    *("Makefile", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"),
}


def ignored() -> list[str]:
    """Names at the top level that .gitignore leaves out: what people and tools make here."""
    lines = (ROOT / ".gitignore").read_text("utf-8").split()
    return [line.strip("/") for line in lines]


def sources(*folders: str, pattern: str = "*.py") -> list[Path]:
    """Files of the project below some folders, without what tools leave there."""
    found = (path for folder in folders for path in sorted((ROOT / folder).rglob(pattern)))
    return [path for path in found if path.is_file() and "__pycache__" not in path.parts]


@cache
def parsed(path: Path) -> ast.Module:
    """A file of Python."""
    return ast.parse(path.read_bytes())


def text_files() -> list[Path]:
    """Every text file of the project, hidden ones too; hashed locks are not for reading."""
    top = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]
    hidden = [path for path in sources(".ci", ".make", pattern="*") if path.is_file()]
    deep = sources(*FOLDERS, "images", "docs", pattern="*")
    kinds = {"", ".py", ".md", ".toml", ".txt", ".in", ".svg", ".html", ".j2", ".json", ".yaml"}
    return [path for path in (*top, *hidden, *deep) if path.suffix in kinds]


# --- what stands where ------------------------------------------------------------------------


def test_the_top_level_is_the_agreed_one() -> None:
    """The top level has only the agreed folders and files, dotfiles and ignored output."""
    names = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    made = {name for name in names if any(fnmatch.fnmatch(name, line) for line in ignored())}

    assert names - made == TOP_LEVEL


def test_every_folder_of_code_is_a_package() -> None:
    """A folder without __init__.py would be left out of the built distribution."""
    folders = {path.parent for path in sources("worker", "batch")}

    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_packages_are_listed_by_name() -> None:
    """Only worker and batch are installed; pulumi and tests must never shadow anything."""
    assert PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"] == ["worker*", "batch*"]


def test_every_data_file_is_packaged() -> None:
    """Recipes, templates and fonts inside a package are listed in package-data."""
    setuptools = PYPROJECT["tool"]["setuptools"]
    listed, left_out = setuptools["package-data"], setuptools["packages"]["find"]["exclude"]
    data = [path for path in sources("worker", "batch", pattern="*") if path.suffix != ".py"]

    def packaged(path: Path) -> bool:
        if any(fnmatch.fnmatch(".".join(path.relative_to(ROOT).parts), one) for one in left_out):
            return True  # its package is in no distribution
        for package, patterns in listed.items():
            folder = ROOT / package.replace(".", "/")
            if path.is_relative_to(folder):
                inside = path.relative_to(folder).as_posix()
                if any(fnmatch.fnmatch(inside, pattern) for pattern in patterns):
                    return True
        return False

    assert [str(path.relative_to(ROOT)) for path in data if not packaged(path)] == []


def test_no_python_file_is_over_800_lines() -> None:
    """Complexity is ruff's to bound (C901); this bounds what one has to scroll through."""
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in sources(*FOLDERS)}

    assert {
        str(path.relative_to(ROOT)): lines for path, lines in lengths.items() if lines > 800
    } == {}


def test_no_module_is_a_drawer() -> None:
    """Modules are named after what they do; utils, helpers and managers do anything."""
    drawer = re.compile(r"(^|_)(utils?|helpers?|managers?|common|misc)$")

    assert [path.name for path in sources(*FOLDERS) if drawer.search(path.stem)] == []


def test_no_constant_is_set_twice() -> None:
    """Of two at the top of a module the second wins silently; linters do not see it."""
    twice = []
    for path in sources(*FOLDERS):
        names = [
            target.id
            for node in parsed(path).body
            for target in getattr(node, "targets", [getattr(node, "target", None)])
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name)
        ]
        twice += [
            f"{path.relative_to(ROOT)}: {name}" for name in set(names) if names.count(name) > 1
        ]

    assert twice == []


def test_no_class_name_is_used_twice() -> None:
    """A search for a class name finds exactly one class."""
    found: dict[str, list[str]] = {}
    for path in sources("worker", "batch", "pulumi"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(str(path.relative_to(ROOT)))

    assert {name: where for name, where in found.items() if len(where) > 1} == {}


def test_every_module_says_what_it_is_for() -> None:
    """A module's docstring says what lives there."""
    silent = [
        str(path.relative_to(ROOT))
        for path in sources(*FOLDERS)
        if not ast.get_docstring(parsed(path))
    ]

    assert silent == []


def test_every_test_is_a_sentence() -> None:
    """Each test has a docstring that says what it holds to be true."""
    silent = [
        f"{path.name}::{node.name}"
        for path in sources("tests")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        if not (ast.get_docstring(node) or "").rstrip().endswith(".")
    ]

    assert silent == []


def test_no_path_of_one_machine() -> None:
    """No file contains a path of the machine that it was written on."""
    machine = re.compile(r"(?<![\w.~-])/(?:home|root|work|Users)/\w")

    assert [path.name for path in text_files() if machine.search(path.read_text("utf-8"))] == []


# --- lists that must be complete --------------------------------------------------------------


def codes_in_the_code() -> dict[str, bool]:
    """Every code that can be reported, and whether the same call may succeed later: reasons,
    classes, and codes given where one is raised, also by the name of a constant.
    """
    codes = {reason.value: False for reason in Reason}
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, SafelightError)
    }
    codes |= {kind.code: kind.retryable for kind in kinds.values()}
    for path in sources("worker", "batch"):
        constants = {
            target.id: node.value.value
            for node in parsed(path).body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in ast.walk(parsed(path)):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
                continue
            for given in (one.value for one in call.keywords if one.arg == "code"):
                if call.func.id in kinds and isinstance(given, ast.Constant | ast.Name):
                    code = given.value if isinstance(given, ast.Constant) else given.id
                    code = constants.get(str(code), code)
                    codes[str(code)] = kinds[call.func.id].retryable
    return codes


def test_every_document_of_a_decision_has_its_three_parts() -> None:
    """Decisions are numbered without gaps; each gives its context and its consequences."""
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    headings = [
        re.findall(r"^## (.+)$", path.read_text("utf-8"), re.MULTILINE) for path in decisions
    ]

    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    assert all(found == ["Context", "Decision", "Consequences"] for found in headings)


FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@cache
def anchors(page: Path) -> set[str]:
    """Names of a page's headings, as GitHub makes them; a heading that comes again has a number."""
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = found[name] = found.get(name, -1) + 1
        names.add(f"{name}-{count}" if count else name)
    return names


def test_links_between_documents_lead_somewhere() -> None:
    """A relative link in a document names a file that is there, and a heading that it has; code
    blocks have none."""
    broken = []
    for path in text_files():
        if path.suffix == ".md":
            text = FENCED.sub("", path.read_text("utf-8"))
            for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)]+))?\)", text):
                page = path.parent / target if target else path
                named = page.suffix == ".md" and anchor
                if not page.exists() or (named and anchor not in anchors(page)):
                    broken.append(f"{path.relative_to(ROOT)} -> {target}#{anchor}")

    assert broken == []


# --- versions and commands --------------------------------------------------------------------


def test_the_changelog_has_room_for_what_comes() -> None:
    """CHANGELOG.md starts with an Unreleased section; the newest release is this version."""
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    sections = re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)

    assert sections[0] == "Unreleased"
    assert sections[1:2] in ([], [worker.__version__])


def test_the_installed_version_is_the_written_one() -> None:
    """The distribution's metadata, made at install, and the package agree."""
    assert metadata.version("safelight") == worker.__version__


def test_every_tool_is_told_the_same_python() -> None:
    """The oldest supported Python is the one that the linter and the type checker assume."""
    oldest = PYPROJECT["project"]["requires-python"].removeprefix(">=")

    assert PYPROJECT["tool"]["mypy"]["python_version"] == oldest
    assert PYPROJECT["tool"]["ruff"]["target-version"] == "py" + oldest.replace(".", "")


def names(lines: list[str]) -> set[str]:
    """Distribution names of requirement lines, normalised (PEP 503)."""
    found = (re.match(r"[A-Za-z0-9][\w.-]*", line) for line in lines)
    return {re.sub(r"[-_.]+", "-", match[0]).lower() for match in found if match}


def test_every_dependency_is_locked() -> None:
    """Every dependency of pyproject.toml, extras included, is in the hashed lock."""
    project = PYPROJECT["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    lock = (ROOT / "tests" / "requirements.txt").read_text("utf-8").splitlines()

    assert names([*project["dependencies"], *extras]) - names(lock) == set()


@pytest.mark.parametrize(
    "lock", sources("tests", "images", pattern="requirements*.txt"), ids=lambda path: path.name
)
def test_locks_are_pinned_hashed_and_name_no_index(lock: Path) -> None:
    """The lock fixes versions and hashes, and leaves the package index to the user."""
    text = lock.read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]

    assert [line for line in lines if "==" not in line or "--hash=sha256:" not in line] == []
    assert "://" not in text
    assert [line for line in lines if line.startswith("-")] == []


def test_the_readme_starts_with_exactly_two_commands() -> None:
    """A newcomer needs `make demo` and `make test`; CI runs them as they stand there."""
    readme = (ROOT / "README.md").read_text("utf-8")
    start = re.search(r"^## Start\n(.*?)^## ", readme, re.MULTILINE | re.DOTALL)

    assert start is not None
    blocks = re.findall(r"^```sh\n(.*?)^```$", start[1], re.MULTILINE | re.DOTALL)
    assert "".join(blocks).splitlines() == ["make demo", "make test"]


def test_the_manual_lists_every_page() -> None:
    """docs/README.md leads to each page, and to each folder of pages."""
    docs = ROOT / "docs"
    listed = set(re.findall(r"\]\(([^)#:]+)", (docs / "README.md").read_text("utf-8")))
    pages = {path.name for path in docs.glob("*.md")} - {"README.md"}

    assert pages | {"decisions", "events", "runbooks/README.md", "openapi.json"} <= listed


def test_every_make_target_is_explained() -> None:
    """`make` alone lists every command with what it does."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    declared = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert declared is not None
    assert set(declared[1].split()) == targets
    assert {line.split()[1] for line in listed.splitlines()} == targets


def test_the_words_of_the_project_cost_nothing_to_import() -> None:
    """Domain types and errors bring in nothing but the standard library."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import worker.domain.errors, worker.domain.image\n"
        "roots = {name.partition('.')[0] for name in sys.modules}\n"
        "print(*sorted(roots - sys.stdlib_module_names - {'__main__', 'worker'}))"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(ROOT)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout.strip() == ""
