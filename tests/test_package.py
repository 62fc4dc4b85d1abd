"""The package as a whole: what it offers, what it ships, what importing it costs, which module imports which."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest

import rnnzoo

ROOT = Path(__file__).resolve().parent.parent

# A manifest looks up the kind of its zoo, and a kind is later handed that zoo, its rows and what emulates them. Naming
# the type of what one is handed leads back to the caller, but no import follows it when a program runs. So do rows that
# are handed to their models, and to what runs them.
ANNOTATIONS = {
    ("rnnzoo.kinds.kind", "rnnzoo.zoo.zoo"),
    ("rnnzoo.kinds.kind", "rnnzoo.emulation.performance"),
    ("rnnzoo.kinds.properties", "rnnzoo.zoo.zoo"),
    ("rnnzoo.rows.model", "rnnzoo.rows.zoo_rows"),
    ("rnnzoo.rows.running", "rnnzoo.rows.zoo_rows"),
    ("rnnzoo.zoo.plots", "rnnzoo.zoo.zoo"),
    ("rnnzoo.zoo.plots", "rnnzoo.kinds"),
}
"""Imports for type checkers alone that are allowed to close a circle. All others count like any import."""


def test_the_package_offers_exactly_its_public_names() -> None:
    assert sorted(rnnzoo.__all__) == dir(rnnzoo)
    assert all(getattr(rnnzoo, name) is not None for name in rnnzoo.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Zoos'"):
        rnnzoo.Zoos  # noqa: B018


def test_its_types_are_shipped() -> None:
    assert (files("rnnzoo") / "py.typed").is_file()


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import rnnzoo", ["torch", "numpy", "huggingface_hub"]),
        ("import rnnzoo; rnnzoo.load", ["torch", "huggingface_hub", "matplotlib"]),
    ],
)
def test_importing_it_is_light(statement: str, heavy: list[str]) -> None:
    program = f"{statement}; import sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@cache
def modules() -> dict[str, Path]:
    """The source of every module by name. That a package runs its __init__ first is no import of the module's own."""
    found = {}
    for package in ("rnnzoo", "rnnzoo.generation"):
        folder = ROOT / package.rpartition(".")[2]
        for path in folder.rglob("*.py"):
            inner = path.relative_to(folder).with_suffix("").parts
            found[".".join([package, *(part for part in inner if part != "__init__")])] = path
    return found


def imports(tree: ast.AST, for_types: bool = False) -> Iterator[tuple[str, bool]]:
    """Modules of ours that are imported anywhere in a tree, and whether type checkers alone import them."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((name.name, for_types) for name in node.names if name.name in modules())
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in modules() else node.module, for_types
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from imports(node, for_types=True)
        else:
            yield from imports(node, for_types)


@cache
def all_imports() -> dict[tuple[str, str], bool]:
    """Who imports whom, and whether for types alone."""
    found: dict[tuple[str, str], bool] = {}
    for name, path in modules().items():
        for imported, for_types in imports(ast.parse(path.read_text(encoding="utf-8"))):
            if imported in modules() and imported != name:
                found[name, imported] = for_types and found.get((name, imported), True)
    return found


def circles(left_out: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Imports that lead back to where they start."""
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for importer, imported in all_imports().keys() - left_out:
        graph[importer].add(imported)
    reached = {}
    for name in graph:
        seen: set[str] = set()
        new = [name]
        while new:
            further = graph[new.pop()] - seen
            seen |= further
            new += further
        reached[name] = seen
    return {(name, imported) for name, others in graph.items() for imported in others if name in reached[imported]}


def test_imports_run_in_no_circle() -> None:
    """Those in functions included."""
    assert not circles(ANNOTATIONS)


@pytest.mark.parametrize("allowed", sorted(ANNOTATIONS), ids=" imports ".join)
def test_what_is_allowed_to_close_a_circle_does(allowed: tuple[str, str]) -> None:
    """Whoever removes one removes it from the list above."""
    assert allowed in circles(ANNOTATIONS - {allowed})
    assert allowed not in ANNOTATIONS or all_imports()[allowed]


def test_consumers_import_no_producers() -> None:
    """The command line and the package's front page find producers by name; the latter tells type checkers of one."""
    wrong = {
        (importer, imported): for_types
        for (importer, imported), for_types in all_imports().items()
        if imported.startswith("rnnzoo.generation") and not importer.startswith("rnnzoo.generation")
    }
    assert wrong == {("rnnzoo", "rnnzoo.generation.build_request"): True}


SAME_THING = {"formal_languages", "smnist", "registry", "rollouts", "read_out", "sources"}
"""Names that several modules have because they mean one thing: the halves of a kind of zoo, names and what they stand
for, one step of a network in several technologies."""
MOST_MODULES = 14


def test_a_folder_can_be_taken_in_at_a_glance() -> None:
    counts = Counter(path.parent for path in modules().values() if path.name != "__init__.py")
    assert {str(folder.relative_to(ROOT)): count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_a_name_means_one_thing() -> None:
    counts = Counter(path.stem for path in modules().values() if not path.stem.startswith("__"))
    assert {name for name, count in counts.items() if count > 1} <= SAME_THING
