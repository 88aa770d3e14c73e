"""What the Python files of tasks need once they are imported, read from their source: modules, nltk resources, metrics.

Nothing is imported, so that a plan can name what is missing within milliseconds. Where the source leaves it open
whether something is needed (an import under a condition, or one whose failure is handled) it counts as not needed.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

# Handlers of these take an import or a download that fails.
TOLERANT = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException", ""}
COLLECTION = "lm_eval.tasks"  # its modules are read like the files beside a task


@dataclass(frozen=True)
class Needs:
    """What the code of a task needs once it is imported."""

    modules: frozenset[str] = frozenset()  # top-level Python modules
    resources: frozenset[str] = frozenset()  # of nltk, as "punkt_tab" or "tokenizers/punkt_tab"
    metrics: frozenset[str] = frozenset()  # of the evaluate library, whose code is downloaded

    def __or__(self, other: Needs) -> Needs:
        resources, metrics = self.resources | other.resources, self.metrics | other.metrics
        return Needs(self.modules | other.modules, resources, metrics)


def needs_of_code(paths: Iterable[Path]) -> Needs:
    """What these Python files need, and those that they import from their folder or from lm-eval's tasks."""
    todo, seen, found = [*paths], set[Path](), Needs()
    while todo:
        path = todo.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        needs, files = _read(str(path), path.stat().st_mtime_ns)
        found |= needs
        todo += files
    return found


def absent_modules(modules: Iterable[str]) -> list[str]:
    """Those of these top-level modules that are not installed, sorted."""
    return sorted(name for name in modules if name not in sys.stdlib_module_names and not _is_installed(name))


def _is_installed(module: str) -> bool:
    if sys.modules.get(module) is not None:
        return True
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


@lru_cache(maxsize=1024)
def _read(path: str, time: int) -> tuple[Needs, tuple[Path, ...]]:
    """What a file needs itself, and the files that it imports. With `time` in the cache's key a changed file is read again."""
    try:
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return Needs(), ()  # importing it says what is wrong with it
    reader = _Reader(Path(path).parent)
    reader.read(tree)
    # Code that changes the search path may find modules where nobody else does.
    modules = set() if "sys.path" in reader.names else reader.modules
    needs = Needs(frozenset(modules), frozenset(reader.resources), frozenset(reader.metrics))
    return needs, tuple(reader.files)


class _Reader(ast.NodeVisitor):
    """Follows what runs when a module is imported: its statements, and those of its functions that these call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: set[str] = set()
        self.resources: set[str] = set()
        self.metrics: set[str] = set()
        self.files: list[Path] = []
        self.names: set[str] = set()  # every dotted name that is used
        self._called: list[str] = []
        self._meaning: dict[str, str] = {}  # name in the module -> what it was imported as
        self._unsure = 0  # depth of conditions, and of blocks whose failure is handled

    def read(self, tree: ast.Module) -> None:
        functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        self.visit(tree)
        while self._called:
            function = functions.pop(self._called.pop(), None)
            for node in function.body if function else ():
                self.visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        """Its body runs when it is called."""

    visit_AsyncFunctionDef = visit_FunctionDef
    visit_Lambda = visit_FunctionDef

    def visit_If(self, node: ast.If) -> None:
        self._visit_unsure([*node.body, *node.orelse])

    def visit_Try(self, node: ast.Try) -> None:
        handled = [handler for handler in node.handlers if TOLERANT & set(_caught(handler))]
        if all(any(isinstance(part, ast.Raise) for part in ast.walk(handler)) for handler in handled):
            for part in [*node.body, *node.orelse]:
                self.visit(part)
        else:
            self._visit_unsure([*node.body, *node.orelse])
        self._visit_unsure([part for handler in node.handlers for part in handler.body])
        for part in node.finalbody:
            self.visit(part)

    def _visit_unsure(self, parts: Iterable[ast.stmt]) -> None:
        self._unsure += 1
        for part in parts:
            self.visit(part)
        self._unsure -= 1

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._meaning[alias.asname or alias.name.split(".")[0]] = (
                alias.name if alias.asname else alias.name.split(".")[0]
            )
            self._need(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level:
            folder = self.folder.joinpath(*[".."] * (node.level - 1), *(node.module or "").split("."))
            self._need_files(folder, [alias.name for alias in node.names])
            return
        for alias in node.names:
            self._meaning[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        self._need(node.module or "", [alias.name for alias in node.names])

    def _need(self, module: str, names: Iterable[str] = ()) -> None:
        if f"{module}.".startswith(f"{COLLECTION}."):
            for root in _collection():
                self._need_files(root.joinpath(*module.split(".")[2:]), names)
        if not self._unsure:
            self.modules.add(module.split(".")[0])

    def _need_files(self, module: Path, names: Iterable[str]) -> None:
        """The files that an import reads: the module, or the parts of a package that it names."""
        if not self._unsure:
            places = [module.with_name(f"{module.name}.py"), module / "__init__.py"]
            self.files += [*places, *(module / f"{name}.py" for name in names)]

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.names.add(self._dotted(node))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = self._dotted(node.func)
        self._called.append(name)
        first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
        if isinstance(first, str):
            # A download is needed even where its failure is handled: the handler of a search that fails is its usual place.
            if name == "nltk.download" or (name == "nltk.data.find" and "/" in first):
                self.resources.add(first.strip("/"))
            elif name == "evaluate.load" and not self._unsure:
                self.metrics.add(first)
        self.generic_visit(node)

    def _dotted(self, node: ast.expr) -> str:
        """The name of a function or attribute with its module, as "nltk.data.find"; empty for anything else."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self._meaning.get(node.id, node.id), *reversed(parts)])


def _caught(handler: ast.ExceptHandler) -> Iterator[str]:
    """The names of the errors that a handler takes; "" for all."""
    if handler.type is None:
        yield ""
        return
    for kind in handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]:
        yield ast.unparse(kind).rpartition(".")[2]


def _collection() -> list[Path]:
    """The folders of lm-eval's own tasks."""
    spec = importlib.util.find_spec("lm_eval")
    return [Path(place) / "tasks" for place in (spec and spec.submodule_search_locations) or ()]
