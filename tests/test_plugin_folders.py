"""A folder of plugins finds its helpers beside it, and no other folder's; a single file is enough."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from selbench.errors import UserError
from selbench.plugins import discover
from selbench.store.code import code_hash

PLUGIN = '''
from selbench.api import Selection, selector
{imports}

@selector("{name}")
class Own:
    """Own."""
    def select(self, pool, budget, context):
        {lazy}
        return {value}
'''


def plugin(folder, name, imports, value="WORD", lazy="pass"):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(PLUGIN.format(name=name, imports=imports, value=value, lazy=lazy))
    return folder


def said(registry, name):
    return registry.get("selector", name).cls().select(None, None, None)


@pytest.mark.parametrize(
    "imports, value, lazy",
    [
        ("from helpers import WORD", "WORD", "pass"),
        ("import helpers", "helpers.WORD", "pass"),
        ("import helpers as h", "h.WORD", "pass"),
        ("from .helpers import WORD", "WORD", "pass"),
        ("from . import helpers", "helpers.WORD", "pass"),
        ("", "WORD", "from helpers import WORD"),
        ("import parts.deep", "parts.deep.WORD", "pass"),
        ("from parts import deep", "deep.WORD", "pass"),
        ("from parts.deep import WORD", "WORD", "pass"),
    ],
)
def test_helpers_of_two_folders_do_not_mix(tmp_path, imports, value, lazy):
    for name in ("one", "two"):
        folder = plugin(tmp_path / name, name, imports, value, lazy)
        (folder / "helpers.py").write_text("from _word import word\nWORD = word()\n")  # a helper of a helper
        (folder / "_word.py").write_text(f"def word():\n    return {name!r}\n")
        (folder / "parts").mkdir()
        (folder / "parts" / "__init__.py").write_text("")
        (folder / "parts" / "deep.py").write_text("import helpers\nWORD = helpers.WORD\n")
    registry = discover([str(tmp_path / "one"), str(tmp_path / "two")])
    assert not registry.broken, registry.broken
    assert (said(registry, "one"), said(registry, "two")) == ("one", "two")


def test_an_edited_helper_is_read_anew(tmp_path):
    plugin(tmp_path, "one", "from helpers import WORD")
    (tmp_path / "helpers.py").write_text("WORD = 1\n")
    assert said(discover([str(tmp_path)]), "one") == 1
    (tmp_path / "helpers.py").write_text("WORD = 'another'\n")
    assert said(discover([str(tmp_path)]), "one") == "another"


def test_the_standard_library_and_the_library_that_a_plugin_is_named_after_stay_what_they_are(tmp_path):
    plugin(tmp_path, "random", "import random", "random.Random(0).random() < 1")
    plugin(tmp_path, "yaml", "import yaml", "yaml.safe_load('3')")
    registry = discover([str(tmp_path)])
    assert not registry.broken, registry.broken
    assert said(registry, "yaml") == 3
    (found,) = [p for p in registry.of_kind("selector") if p.name == "random" and str(tmp_path) in p.origin] or [None]
    assert registry.conflicts or found  # ours is called so too


def test_a_broken_helper_breaks_its_plugin_and_names_the_line(tmp_path):
    plugin(tmp_path, "one", "import helpers")
    plugin(tmp_path, "two", "", "2")
    (tmp_path / "helpers.py").write_text("\nimport nothing_of_that_name\n")
    registry = discover([str(tmp_path)])
    assert said(registry, "two") == 2
    assert {broken.name for broken in registry.broken} == {"one", "helpers"}
    assert all("nothing_of_that_name' (line 2)" in broken.error for broken in registry.broken)


def test_a_single_file_is_a_plugin_path(tmp_path):
    plugin(tmp_path, "one", "from helpers import WORD")
    plugin(tmp_path, "two", "", "2")
    (tmp_path / "helpers.py").write_text("WORD = 1\n")
    registry = discover([str(tmp_path / "one.py")])
    assert said(registry, "one") == 1 and ("selector", "two") not in registry.plugins
    both = discover([str(tmp_path / "one.py"), str(tmp_path), str(tmp_path / "one.py")])
    assert not both.conflicts and said(both, "two") == 2
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError, match="neither a folder nor a Python file"):
        discover([str(tmp_path / "notes.txt")])
    with pytest.raises(UserError, match="does not exist"):
        discover([str(tmp_path / "none.py")])


@pytest.mark.parametrize("name", ["my.method", "my.method.v2", "my-method", "2nd", "with space", "class", "größe"])
def test_the_file_of_a_plugin_may_have_any_name(tmp_path, name):
    folder = plugin(tmp_path / "odd", name, "from .helpers import WORD")
    (folder / "helpers.py").write_text("WORD = 'one'\n")
    for named in (folder, folder / f"{name}.py"):
        registry = discover([str(named)])
        assert not registry.broken, registry.broken
        assert said(registry, name) == "one"
    before = code_hash(registry.get("selector", name).cls)
    (folder / "helpers.py").write_text("WORD = 'two'\n")
    registry = discover([str(folder)])
    assert said(registry, name) == "two" and code_hash(registry.get("selector", name).cls) != before


def test_two_files_that_differ_in_a_dot_are_two(tmp_path):
    folder = plugin(plugin(tmp_path / "odd", "my.method", "WORD = 1"), "my_method", "WORD = 2")
    registry = discover([str(folder)])
    assert (said(registry, "my.method"), said(registry, "my_method")) == (1, 2)


def test_another_process_finds_the_class_of_a_folder_by_its_name(tmp_path):
    """As a launcher's does, which is handed the settings with their classes and has not looked for plugins."""
    folder = plugin(tmp_path / "größe und so", "my.method", "from helpers import WORD")
    (folder / "helpers.py").write_text("WORD = 'found'\n")
    cls = discover([str(folder)]).get("selector", "my.method").cls
    script = f"import pickle; print(pickle.loads({pickle.dumps(cls)!r})().select(None, None, None))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "found"
