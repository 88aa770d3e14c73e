"""Reads the modules of a checkout as text: what each imports and when, and the import cycles. Nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

# Name under which a package is imported -> its folder in the checkout.
PACKAGES = {"selbench": "selbench", "selbench_plugins": "plugins"}
When = Literal["import", "call", "typing"]  # when the module is imported; inside a function; only for a type checker


@dataclass(frozen=True)
class Import:
    """One import."""

    name: str  # absolute: `selbench.api.Pool`, whose module is the longest beginning that is one
    when: When
    line: int


@dataclass(frozen=True)
class Module:
    """One Python file."""

    name: str  # dotted, without `.__init__`
    path: Path

    @property
    def room(self) -> str:
        """The package that it stands in, such as `selbench.report.page`."""
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def imports(self) -> list[Import]:
        package = self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]
        return list(_imports(self.tree, package, "import"))


class SourceTree:
    """The modules of a checkout and the imports between them."""

    def __init__(self, root: Path) -> None:
        self.modules: dict[str, Module] = {}
        for package, folder in PACKAGES.items():
            for path in sorted((root / folder).rglob("*.py")):
                parts = [package, *path.relative_to(root / folder).with_suffix("").parts]
                name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
                self.modules[name] = Module(name, path)

    def edges(self, *when: When) -> dict[str, set[str]]:
        """Module -> the modules of this tree that it imports at these times. A parent package is not counted as imported."""
        return {
            name: {
                target
                for one in module.imports
                if one.when in when and (target := self.module_of(one.name)) not in (None, name)
            }  # type: ignore[misc]
            for name, module in self.modules.items()
        }

    def module_of(self, name: str) -> str | None:
        """The module that an absolute name belongs to, the longest beginning that is one; None if it is of another package."""
        while name and name not in self.modules:
            name = name.rpartition(".")[0]
        return name or None

    def cycles(self, *when: When) -> list[list[str]]:
        """The sets of modules that import each other, directly or through others; each sorted."""
        return [sorted(knot) for knot in knots(self.edges(*when)) if len(knot) > 1]

    def longest_chain(self) -> list[str]:
        """The longest row of modules in which each imports the next at import time; a cycle counts as one step."""
        edges = self.edges("import")
        knot_of = {name: tuple(sorted(knot)) for knot in knots(edges) for name in knot}
        best: dict[tuple[str, ...], list[str]] = {}
        for knot in knots(edges):  # knots() gives what a knot imports before the knot itself
            below = [best[knot_of[target]] for name in knot for target in edges[name] if target not in knot]
            best[knot_of[knot[0]]] = [knot[0], *max(below, key=len, default=[])]
        return max(best.values(), key=len, default=[])


def knots(edges: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of a graph (Tarjan 1972), each after those that it points at."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for target in sorted(edges[name]):
            if target not in order:
                visit(target)
            if target in stack:
                low[name] = min(low[name], low[target])
        if low[name] == order[name]:
            start = stack.index(name)
            found.append(stack[start:])
            del stack[start:]

    for name in sorted(edges):
        if name not in order:
            visit(name)
    return found


def path_parts(tree: ast.AST, names: Callable[[str], bool]) -> list[ast.Constant]:
    """The string constants that are joined with `/` or given to Path, joinpath or glob, and have a part that `names` picks."""
    found: dict[int, ast.Constant] = {}
    for node in ast.walk(tree):
        given: list[ast.expr] = []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            given = [node.left, node.right]
        elif isinstance(node, ast.Call) and _called(node.func) in ("Path", "PurePath", "joinpath", "glob", "rglob"):
            given = node.args
        for one in given:
            if isinstance(one, ast.Constant) and isinstance(one.value, str) and any(map(names, one.value.split("/"))):
                found[id(one)] = one
    return list(found.values())


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _imports(node: ast.AST, package: str, when: When) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, when, child.lineno)
        elif isinstance(child, ast.ImportFrom):
            start = child.module or ""
            if child.level:  # "from ..x import y" counts up from the package of the file
                above = package.split(".")[: len(package.split(".")) - child.level + 1]
                start = ".".join([*above, *([child.module] if child.module else [])])
            for alias in child.names:
                yield Import(f"{start}.{alias.name}", when, child.lineno)
        elif isinstance(child, ast.If) and _for_type_checkers(child.test):
            for branch in child.body:
                yield from _imports(ast.Module([branch], []), package, "typing")
            for branch in child.orelse:
                yield from _imports(ast.Module([branch], []), package, when)
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from _imports(child, package, "typing" if when == "typing" else "call")
        else:
            yield from _imports(child, package, when)


def _for_type_checkers(test: ast.expr) -> bool:
    return (test.id if isinstance(test, ast.Name) else getattr(test, "attr", "")) == "TYPE_CHECKING"
