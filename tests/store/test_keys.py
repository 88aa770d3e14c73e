"""The code behind a key: what changes a result gives another key, and nothing else does."""

from __future__ import annotations

import importlib
import json
import os
import py_compile
import re
import subprocess
import sys
import textwrap
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers.toy_runs import toy_model, toy_pool, toy_settings

from selbench.api import Example, Pool
from selbench.plugins import discover
from selbench.store import code, imports, keys

MINE = """
    from selbench.api import Selection, selector
    {imports}

    @selector("mine", uses_scorer=False)
    class Mine:
        def select(self, pool, budget, context):
            {inside}
            return Selection.ranked([{value} for _ in pool], budget)
"""


def write(root: Path, **files: str) -> None:
    """A file per name: `pack__deep__tools` is pack/deep/tools.py, `pack__init` is pack/__init__.py."""
    for name, text in files.items():
        parts = ["__init__" if part == "init" else part for part in re.split(r"(?<=.)__", name)]
        path = root.joinpath(*parts).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


def mine(imports: str = "", inside: str = "pass", value: str = "1") -> str:
    return textwrap.dedent(MINE).format(imports=imports, inside=inside, value=value)


@pytest.fixture
def key(tmp_path, monkeypatch):
    """`key("pack.mine")`: the key of the class Mine of a module under `tmp_path`, loaded anew as another process would."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def forget() -> None:
        for name in list(sys.modules):
            if name.partition(".")[0] in ("pack", "moved", "base_pack", "part_pack", "big"):
                del sys.modules[name]
        importlib.invalidate_caches()

    def of(name: str, **options: Any) -> str:
        forget()
        return keys.digest(keys.plugin_identity(importlib.import_module(name).Mine(**options)))

    yield of
    forget()


# ------------------------------------------------------------------------------------------ its own package


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        (mine("from pack import helpers", value="helpers.SIGN"), "pack/helpers.py"),
        (mine("from pack.helpers import SIGN", value="SIGN"), "pack/helpers.py"),
        (mine("from .helpers import SIGN", value="SIGN"), "pack/helpers.py"),
        (mine("from . import helpers", value="helpers.SIGN"), "pack/helpers.py"),
        (mine("import pack.helpers as h", value="h.SIGN"), "pack/helpers.py"),
        (mine("import pack", value="pack.helpers.SIGN"), "pack/helpers.py"),
        (mine("import importlib", 'h = importlib.import_module("pack.helpers")', "h.SIGN"), "pack/helpers.py"),
        (mine(inside="from pack.helpers import SIGN", value="SIGN"), "pack/helpers.py"),
        (mine("from pack.helpers import *", value="SIGN"), "pack/helpers.py"),
        (mine("from pack.helpers import SIGN", value="SIGN"), "pack/deep/further.py"),
        (mine("from pack.helpers import SIGN", value="SIGN"), "pack/deep/__init__.py"),
        (mine("from pack.deep import deeper", value="deeper()"), "pack/deep/further.py"),
        (mine("from pack.helpers import SIGN", value="SIGN"), "pack/__init__.py"),
        (mine(), "pack/mine.py"),
    ],
)
def test_what_a_plugin_imports_from_its_package_is_in_its_key(tmp_path, key, text, edited):
    write(
        tmp_path,
        pack__init="",
        pack__mine=text,
        pack__helpers="from .deep.further import X\nSIGN = 1",
        pack__deep__init="from .further import deeper",
        pack__deep__further="X = 1\ndef deeper(): return X",
        pack__other="Y = 1",
    )
    before = key("pack.mine")
    write(tmp_path, pack__other="Y = 2")
    assert key("pack.mine") == before, "a module that it does not import"
    with (tmp_path / edited).open("a") as stream:
        stream.write("\nZ = -1\n")
    assert key("pack.mine") != before


def test_an_import_for_type_checkers_only_is_not_in_the_key(tmp_path, key):
    text = mine("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pack.helpers import SIGN")
    write(tmp_path, pack__init="", pack__mine=text, pack__helpers="SIGN = 1")
    before = key("pack.mine")
    write(tmp_path, pack__helpers="SIGN = 2")
    assert key("pack.mine") == before


def test_neither_the_place_nor_the_name_of_a_package_is_in_the_key(tmp_path, key):
    for name in ("pack", "moved"):
        write(tmp_path / name, init="", mine=mine("from . import helpers"), helpers="SIGN = 1")
    assert key("pack.mine") == key("moved.mine")


def test_modules_that_import_each_other_are_no_trap(tmp_path, key):
    write(tmp_path, pack__init="", pack__mine=mine("from pack import a"))
    write(tmp_path, pack__a="def f():\n    from pack import b", pack__b="from pack import a, mine")
    before = key("pack.mine")
    write(tmp_path, pack__b="from pack import a\nX = 1")
    assert key("pack.mine") != before


# ------------------------------------------------------------------------------------- a folder of plugin_path


@pytest.mark.parametrize(
    ("statement", "edited"),
    [
        ("import helpers", "helpers.py"),
        ("from helpers import SIGN", "helpers.py"),
        ("from _private import SIGN", "_private.py"),
        ("from lib import tools", "lib/tools.py"),
        ("from lib.tools import SIGN", "lib/tools.py"),
        ("import lib.tools", "lib/__init__.py"),
        ("from .helpers import SIGN", "helpers.py"),
    ],
)
def test_what_a_plugin_imports_from_its_folder_is_in_its_key(tmp_path, statement, edited):
    files = {"helpers": "SIGN = 1", "_private": "SIGN = 1", "lib__init": "", "lib__tools": "SIGN = 1", "other": "Y = 1"}
    write(tmp_path, mine=mine(inside=statement), **files)

    def key() -> str:
        return keys.digest(keys.plugin_identity(discover([str(tmp_path)]).get("selector", "mine").cls()))

    before = key()
    write(tmp_path, other="Y = 2")
    assert key() == before
    (tmp_path / edited).write_text("SIGN = -1")
    assert key() != before


def test_a_moved_folder_has_the_same_key(tmp_path):
    found = set()
    for name in ("here", "there"):
        write(tmp_path / name, mine=mine(inside="import helpers"), helpers="SIGN = 1")
        found.add(keys.digest(keys.plugin_identity(discover([str(tmp_path / name)]).get("selector", "mine").cls())))
    assert len(found) == 1


def test_a_file_of_the_folder_that_is_called_as_one_of_python_is_not_that(tmp_path):
    write(tmp_path, mine=mine("import json, random"), json="X = 1", random="X = 1")

    def key() -> str:
        return keys.digest(keys.plugin_identity(discover([str(tmp_path)]).get("selector", "mine").cls()))

    before = key()
    write(tmp_path, json="X = 2", random="X = 2")
    assert key() == before


# ------------------------------------------------------------------------------------ bases, parts, libraries

BASE = """
    from selbench.api import Selection
    from base_pack.sign import SIGN

    class Base:
        def select(self, pool, budget, context):
            return Selection.ranked([SIGN for _ in pool], budget)

    def select(self, pool, budget, context):
        return Selection.ranked([SIGN for _ in pool], budget)
"""
HEIR = "from selbench.api import selector\nfrom base_pack.base import Base, select\n\n\n@selector('mine')\n"


@pytest.mark.parametrize("heir", ["class Mine(Base):\n    pass", "class Mine:\n    select = select"])
@pytest.mark.parametrize("edited", ["base_pack/base.py", "base_pack/sign.py"])
def test_inherited_and_borrowed_code_of_another_package_is_in_the_key(tmp_path, key, heir, edited):
    write(tmp_path, pack__init="", pack__mine=HEIR + heir)
    write(tmp_path, base_pack__init="", base_pack__base=BASE, base_pack__sign="SIGN = 1")
    before = key("pack.mine")
    with (tmp_path / edited).open("a") as stream:
        stream.write("\nZ = -1\n")
    assert key("pack.mine") != before


PART = """
    from dataclasses import dataclass
    from part_pack.level import LEVEL

    @dataclass(frozen=True, slots=True)
    class Part:
        needs_scorer = False
        def compute(self, pool, context):
            return {"x": [LEVEL for _ in pool]}
"""
HOLDING = """
    from dataclasses import dataclass, field
    from typing import Any
    from selbench.api import selector
    from part_pack.part import Part

    @selector("mine")
    class Mine:
        part: Any = None
        def select(self, pool, budget, context): ...
        {more}
"""


@pytest.mark.parametrize(
    "more", ["def needs(self, seed): return [Part()]", "parts: Any = field(default_factory=lambda: [Part()])"]
)
def test_the_code_of_parts_is_in_the_key(tmp_path, key, more):
    write(tmp_path, pack__init="", pack__mine=textwrap.dedent(HOLDING).format(more=more))
    write(tmp_path, part_pack__init="", part_pack__part=PART, part_pack__level="LEVEL = 1")
    before = key("pack.mine")
    write(tmp_path, part_pack__level="LEVEL = 2")
    assert key("pack.mine") != before


def test_what_an_object_remembers_is_no_part_of_it(tmp_path, key):
    write(tmp_path, pack__init="", pack__mine=textwrap.dedent(HOLDING).format(more=""))
    write(tmp_path, part_pack__init="", part_pack__part=PART, part_pack__level="LEVEL = 1")
    before = key("pack.mine")
    plugin = sys.modules["pack.mine"].Mine()
    plugin.found = [sys.modules["part_pack.part"].Part()]  # as a selector may that has done its work
    assert keys.digest(keys.plugin_identity(plugin)) == before


def test_packages_that_are_installed_together_count_together(tmp_path, key, monkeypatch):
    write(tmp_path, pack__init="", pack__mine=mine("from part_pack import helpers"), part_pack__init="")
    found = set()
    for together in ({"pack"}, {"pack", "part_pack"}):
        monkeypatch.setattr(code, "_distributions", lambda together=together: [("pack", frozenset(together))])
        for sign in (1, -1):
            write(tmp_path, part_pack__helpers=f"SIGN = {sign}")
            found.add(key("pack.mine"))
    assert len(found) == 3  # apart, the other package is a library like any other


def test_features_that_cannot_be_announced_do_not_stop_a_key(tmp_path, key):
    write(tmp_path, pack__init="", pack__mine=mine() + "    def needs(self, seed):\n        raise ValueError\n")
    assert key("pack.mine")


def test_versions_of_declared_libraries_are_in_the_key(monkeypatch):
    from selbench_plugins.suites.lm_eval import LmEval

    from selbench.features.embeddings import TextEmbeddings

    installed = {"scikit-learn": "1.0", "lm-eval": "0.1"}
    monkeypatch.setattr(keys, "_version", installed.get)
    assert keys.plugin_identity(LmEval())["libraries"] == {"lm-eval": "0.1"}
    assert keys.spec_identity(TextEmbeddings())["libraries"] == {"scikit-learn": "1.0"}
    assert "libraries" not in keys.spec_identity(TextEmbeddings("/an/encoder"))

    @dataclass(frozen=True)
    class One:
        libraries = "numpy"  # one name is as good as a list of it

    @dataclass(frozen=True)
    class None_:
        libraries = ("no-such-library",)

    monkeypatch.undo()
    assert list(keys.spec_identity(One())["libraries"].values()) != [None]
    assert keys.spec_identity(None_())["libraries"] == {"no-such-library": None}


def test_declared_libraries_are_not_imported():
    program = """
        import sys
        from selbench_plugins.suites.lm_eval import LmEval
        from selbench_plugins.selectors.kcenter import KCenter
        from selbench.store.keys import plugin_identity
        assert plugin_identity(LmEval())["libraries"]["lm-eval"]
        assert plugin_identity(KCenter(encoder="tfidf"))["needs"][0]["libraries"]["scikit-learn"]
        print([name for name in ("lm_eval", "sklearn", "torch", "transformers") if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_selection_depends_on_the_content_of_its_encoder_not_on_its_place(tmp_path):
    from selbench_plugins.selectors.kcenter import KCenter

    def key(folder: str) -> str:
        return keys.digest(keys.plugin_identity(KCenter(encoder=str(tmp_path / folder))))

    for folder, text in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.json").write_text(text)
    assert key("a") == key("b") != key("c")


# ------------------------------------------------------------------------------------------- of selbench itself


def forget_texts() -> None:
    for known in (imports._read, imports._loaded, code._of_classes, code._of_modules):
        known.clear()


@pytest.fixture
def edited(monkeypatch):
    """`edited("chat.py", things)`: which keys change if a file of that name were another."""
    content = imports._content

    def keys_of(things: dict[str, Any]) -> dict[str, str]:
        forget_texts()
        identities = {
            name: keys.plugin_identity if hasattr(one, "plugin_name") else keys.spec_identity
            for name, one in things.items()
        }
        return {name: keys.digest(identities[name](one)) for name, one in things.items()}

    def changed(file: str, things: dict[str, Any]) -> set[str]:
        before = keys_of(things)
        monkeypatch.setattr(imports, "_content", lambda place: content(place) + b"\n# edited" * place.endswith(file))
        after = keys_of(things)
        monkeypatch.undo()
        assert keys_of(things) == before
        return {name for name in things if before[name] != after[name]}

    return changed


@pytest.mark.slow
def test_an_edit_of_selbench_changes_the_keys_of_what_uses_it_only(edited):
    from selbench.features.embeddings import TextEmbeddings
    from selbench.features.lengths import ResponseLength
    from selbench.features.sae import SparseAutoencoder
    from selbench.features.sae_tags import SaeTags

    found = discover([])
    # One of each kind of dependency: what other methods are made of is made of the same.
    some = "random full base longest kcenter mads nait sae_greedselect sae_simscale given trl command lm_eval response_loss"
    things = {
        name: found.get(kind, name).cls() for kind, name in found.plugins if name in some.split() and kind != "pool"
    }
    things |= {"lengths": ResponseLength(), "embeddings": TextEmbeddings(), "tags": SaeTags(SparseAutoencoder())}
    sae = {"sae_greedselect", "sae_simscale", "tags"}
    assert edited("/features/sae_train.py", things) == sae
    assert edited("/optimize/kcenter.py", things) == {"kcenter"}
    assert edited("/optimize/coverage_kernel.py", things) == {"mads", "sae_greedselect", "sae_simscale"}
    assert edited("/features/forward.py", things) == {"mads", "nait", "kcenter", "embeddings"} | sae
    assert edited("/data/chat.py", things) == set(things) - {"full", "base"}
    assert edited("/features/lengths.py", things) == {"longest", "lengths", "random"}
    assert edited("/data/forms.py", things) == {"response_loss"} | sae
    assert edited("/selbench/api.py", things) == set()
    assert edited("/trainers/_order.py", things) == {"trl"}
    assert edited("/suites/_tasks.py", things) == {"lm_eval"}


def test_the_tokens_of_a_pool_are_counted_again_when_the_counting_changes(monkeypatch, tmp_path):
    from selbench.api import ModelRef
    from selbench.run.tokens import TokenCounts

    (tmp_path / "config.json").write_text("{}")
    stage = TokenCounts(Pool([Example("a", "b", "c")], "one"), ModelRef("tiny", str(tmp_path)))
    before, content = stage.identity, imports._content
    forget_texts()
    monkeypatch.setattr(imports, "_content", lambda place: content(place) + b"\n# edited" * place.endswith("/chat.py"))
    assert stage.identity != before
    forget_texts()


# ------------------------------------------------------------------------------ without source, without a file


def test_an_archive_and_compiled_modules_count_by_their_content(tmp_path, key, monkeypatch):
    found = {}
    for version in (1, 2):
        write(
            tmp_path / "src",
            pack__init="",
            pack__mine=mine("from pack.helpers import SIGN"),
            pack__helpers=f"SIGN = {version}",
        )
        archive = tmp_path / f"v{version}.zip"
        with zipfile.ZipFile(archive, "w") as zipped:
            for path in (tmp_path / "src").rglob("*.py"):
                zipped.write(path, path.relative_to(tmp_path / "src"))
        monkeypatch.syspath_prepend(str(archive))
        found["zip", version] = key("pack.mine")
        compiled = tmp_path / f"compiled{version}"
        for path in (tmp_path / "src").rglob("*.py"):
            py_compile.compile(str(path), str(compiled / path.relative_to(tmp_path / "src").with_suffix(".pyc")))
        monkeypatch.syspath_prepend(str(compiled))
        found["compiled", version] = key("pack.mine")
    assert len(set(found.values())) == 4


def test_a_helper_that_is_no_python_counts_by_its_content(tmp_path, key):
    write(tmp_path, pack__init="", pack__mine=mine(inside="from pack import broken"), pack__broken="this is no Python")
    before = key("pack.mine")
    write(tmp_path, pack__broken="this is no Python either")
    assert key("pack.mine") != before


def test_a_class_without_a_file_counts_by_its_functions():
    def made(value: int) -> Any:
        text = mine(value=str(value))
        names: dict[str, Any] = {"__name__": "nowhere"}
        exec(text, names)
        return names["Mine"]()

    first, same, other = (keys.digest(keys.plugin_identity(made(value))) for value in (1, 1, 2))
    assert first == same != other


def test_a_large_library_is_not_followed_to_its_end(tmp_path, key):
    heir = (
        HEIR.replace("base_pack.base import Base, select", "big.m0 import Base")
        + "class Mine(Base):\n    select = print"
    )
    write(tmp_path, pack__init="", pack__mine=heir, big__init="", big__m0="from big import m1\nclass Base: ...")
    write(tmp_path, **{f"big__m{i}": f"def f():\n    from big import m{i + 1}" for i in range(1, 300)})
    key("pack.mine")
    read = [place for place in imports._read if place.startswith(f"{tmp_path}/big/")]
    assert len(read) <= code.BORROWED + 2


# ----------------------------------------------------------------------------------------------- while a sweep runs


def test_code_that_is_loaded_counts_as_it_was_loaded(tmp_path, key):
    write(tmp_path, pack__init="", pack__mine=mine("from pack import helpers"), pack__helpers="SIGN = 1")
    before = key("pack.mine")
    plugin = sys.modules["pack.mine"].Mine()
    write(tmp_path, pack__helpers="SIGN = -1")
    assert keys.digest(keys.plugin_identity(plugin)) == before, "this process still runs the old code"
    assert key("pack.mine") != before


def test_code_that_is_not_loaded_yet_counts_as_it_will_be(tmp_path, key):
    write(tmp_path, pack__init="", pack__mine=mine(inside="from pack import helpers"), pack__helpers="SIGN = 1")
    before = key("pack.mine")
    plugin = sys.modules["pack.mine"].Mine()
    write(tmp_path, pack__helpers="SIGN = -1")
    assert keys.digest(keys.plugin_identity(plugin)) != before


def test_many_cells_read_no_file_twice(monkeypatch):
    from selbench_plugins.selectors.mads import Mads
    from selbench_plugins.suites.lm_eval import LmEval
    from selbench_plugins.trainers.trl import Trl

    plugins = [Mads(), Trl(), LmEval()]
    for plugin in plugins:
        keys.plugin_identity(plugin)
    monkeypatch.setattr(imports, "_content", lambda place: pytest.fail(f"{place} is read again"))
    start = time.perf_counter()
    for _ in range(1000):
        for plugin in plugins:
            keys.plugin_identity(plugin)
    assert time.perf_counter() - start < 10  # measured: 0.5 s


# ------------------------------------------------------------------------------------------- on the command line


@pytest.mark.slow
def test_a_sign_reversed_in_a_helper_of_a_package_is_another_selection(tmp_path):
    model, pool = toy_model(tmp_path / "model"), toy_pool(tmp_path)
    text = mine("from pack.scoring import score", value="score(example)").replace("for _ in", "for example in")
    write(tmp_path / "site", pack__init="", pack__mine=text, pack__scoring="from .sign import SIGN\n")
    with (tmp_path / "site/pack/scoring.py").open("a") as stream:
        stream.write("def score(example): return SIGN * len(example.response)\n")
    about = tmp_path / "site/pack-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: pack\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[selbench.plugins]\npack = pack\n")

    def selected(sign: int) -> list[str]:
        write(tmp_path / "site", pack__sign=f"SIGN = {sign}")
        out = tmp_path / "chosen.jsonl"
        typed = [
            "select",
            *toy_settings(model, pool, tmp_path / "outputs"),
            "selector=mine",
            "budget=4",
            "--out",
            str(out),
        ]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
        subprocess.run([Path(sys.executable).with_name("selbench"), *typed], check=True, env=environment)
        return [json.loads(line)["id"] for line in out.read_text().splitlines()]

    longest, shortest = selected(1), selected(-1)
    assert longest == ["0039", "0038", "0037", "0036"]
    assert shortest == ["0000", "0001", "0002", "0003"]
