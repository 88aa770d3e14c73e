"""What a module's file holds: the hash of its content, and the names that it imports. Nothing is imported for it."""

from __future__ import annotations

import ast
import dis
import hashlib
import marshal
import os
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

Stamp = tuple[int, int]  # size and time of change
Name = tuple[int, str]  # the dots before it, and a dotted name of which the end may be no module


@dataclass(frozen=True)
class Text:
    """The hash of a file's content, and the names it imports, wherever in it."""

    hash: str
    imports: tuple[Name, ...]


# By file: with the stamp it had, and for a module that is loaded with what loaded it (a reload gives it another spec).
_read: dict[str, tuple[Stamp | None, Text]] = {}
_loaded: dict[str, tuple[Any, Text]] = {}


def text_of(place: str, spec: Any = None) -> Text:
    """What the file holds; of a module that is loaded (`spec`), what it held when it was first looked at."""
    if spec is None:
        return _text_now(place)
    known = _loaded.get(place)
    if known is None or known[0] is not spec:
        known = _loaded[place] = spec, _text_now(place)
    return known[1]


def stamp_of(place: str) -> Stamp | None:
    """Size and time of change of a file, or of the archive it is in; None where it is not there."""
    try:
        about = os.stat(place)
    except OSError:
        archive = _archive(place)
        return stamp_of(archive) if archive else None
    return about.st_size, about.st_mtime_ns


def _text_now(place: str) -> Text:
    stamp, known = stamp_of(place), _read.get(place)
    if known is None or known[0] != stamp:
        known = _read[place] = stamp, _parsed(place, _content(place))
    return known[1]


def _content(place: str) -> bytes:
    try:
        return Path(place).read_bytes()
    except OSError:
        archive = _archive(place)
        try:
            return pkgutil.get_importer(archive).get_data(place) if archive else b""  # type: ignore[union-attr]
        except (OSError, AttributeError):
            return b""


def _archive(place: str) -> str | None:
    """The file that stands where a path goes on as if it were a folder."""
    return next((str(path) for path in Path(place).parents if path.is_file()), None)


def _parsed(place: str, content: bytes) -> Text:
    names: Iterable[Name] = ()
    if place.endswith(".pyc"):
        content = content[16:]  # the header names the time of change of the source
    try:
        if place.endswith(".pyc"):
            names = set(_of_code(marshal.loads(content)))
        elif place.endswith((".py", ".pyw")):
            names = _of_tree(ast.parse(content))
    except Exception:  # not of the Python that runs here: the hash alone has to do
        names = ()
    return Text(hashlib.sha256(content).hexdigest(), tuple(sorted(names)))


def _of_tree(tree: ast.AST) -> set[Name]:
    """The imported names, and `package.module` where only the package is imported and the module an attribute of it."""
    found: set[Name] = set()
    bound: dict[str, Name] = {}  # what a name of the file stands for
    chains: set[str] = set()
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and _for_type_checkers(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.add((0, alias.name))
                bound[alias.asname or alias.name.partition(".")[0]] = (
                    0,
                    alias.name if alias.asname else alias.name.partition(".")[0],
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = ".".join(part for part in (node.module, alias.name) if part)
                found.add((node.level, name))
                bound[alias.asname or alias.name] = node.level, name
        elif isinstance(node, ast.Call):
            found |= set(_named_in_call(node))
        elif isinstance(node, ast.Attribute):
            chains.add(_chain(node))
        waiting += ast.iter_child_nodes(node)
    for chain in chains:
        head, _, rest = chain.partition(".")
        if head in bound:
            level, name = bound[head]
            found.add((level, f"{name}.{rest}"))
    return found


def _for_type_checkers(test: ast.expr) -> bool:
    return (test.id if isinstance(test, ast.Name) else getattr(test, "attr", "")) == "TYPE_CHECKING"


def _named_in_call(node: ast.Call) -> Iterator[Name]:
    """The module of `import_module("name")`, where the name is written out."""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if called in ("import_module", "__import__") and node.args:
        given = node.args[0]
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            name = given.value.lstrip(".")
            yield len(given.value) - len(name), name


def _chain(node: ast.expr) -> str:
    """`a.b.c` as it is written; empty for an attribute of anything but a name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _of_code(code: CodeType) -> Iterator[Name]:
    """The imports of compiled code: level and names are loaded just before each."""
    before: list[Any] = [0, None]
    for step in dis.get_instructions(code):
        if step.opname == "IMPORT_NAME":
            level, names = before[-2:]
            for name in names or ("",):
                yield level or 0, ".".join(part for part in (step.argval, name) if part)
        elif step.opname.startswith("LOAD_CONST") or step.opname.startswith("LOAD_SMALL_INT"):
            before.append(step.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _of_code(constant)
