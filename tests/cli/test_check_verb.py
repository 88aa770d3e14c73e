"""`selbench check` as it is typed: exit status, what is printed, which plugin is meant, what it is tested with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from selbench.testing import Subject, selector_checks

BROKEN = Path(__file__).parents[1] / "testing" / "broken"
ODD = BROKEN.parent / "odd"
COLUMN = '''
from selbench.api import NotApplicable, Selection, UserError, pool, selector, LoadedPool, Pool, Example

@selector("picky", nested=True)
class Picky:
    """Needs sources that are addresses."""
    part: str = "text"
    def select(self, pool, budget, context):
        if not all(example.source.startswith("http") for example in pool):
            raise NotApplicable("the sources are no addresses")
        return Selection.ordered(sorted(range(len(pool)), key=lambda i: pool[i].id), budget)

@pool("picky")
class PickyPool:
    """A pool of the selector's name."""
    def load(self):
        return LoadedPool(Pool([Example(str(i), "count", "one") for i in range(3)], "picky"))
'''


@pytest.fixture
def picky(tmp_path):
    (tmp_path / "picky.py").write_text(COLUMN)
    rows = [{"instruction": f"count {i}", "output": "one " * (i + 1), "source": f"http://{i}"} for i in range(50)]
    (tmp_path / "pages.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def test_all_is_well(selbench):
    ran = selbench("check", "longest", "selector.unit=characters")
    assert ran.status == 0 and "longest: 16 of 16 checks passed" in ran.out


def test_a_bare_assertion_is_counted(selbench):
    ran = selbench("check", "bare_assertion", f"plugin_path={BROKEN}")
    assert ran.status == 1
    assert "failed  a selection is made" in ran.out and "2 of 3 checks passed, 13 skipped" in ran.out
    assert "found:    AssertionError" in ran.out


def test_a_failure_is_explained(selbench):
    ran = selbench("check", "fails_on_long", f"plugin_path={BROKEN}")
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    at = lines.index(next(line for line in lines if line.startswith("failed")))
    assert lines[at + 1].startswith("rule: `select` returns a Selection")
    assert lines[at + 2] == "expected: a Selection from select()"
    assert lines[at + 3] == "found: IndexError: position 20 of a table of 20"
    assert lines[at + 4].startswith("smallest: a pool of 1 example ('e")
    source = (BROKEN / "selectors.py").read_text().splitlines()
    number = next(i for i, line in enumerate(source, 1) if "position 20" in line)
    assert lines[at + 5].startswith("where: ") and lines[at + 5].endswith(f"selectors.py:{number}, in order")


def test_what_chance_decides_is_tested_or_skipped_in_words(selbench):
    ran = selbench("check", "stochastic_first", f"plugin_path={BROKEN}")
    assert ran.status == 1 and "failed  order of the pool does not matter" in ran.out and "instead of 50%" in ran.out


def test_what_does_not_apply_is_skipped(selbench, picky):
    ran = selbench("check", "picky", "--kind", "selector", f"plugin_path={picky}")
    assert ran.status == 0 and "failed" not in ran.out
    assert "reason:   the selector does not apply to what it is checked with: the sources are no addresses" in ran.out
    assert "most of the contract was not tested: name a pool that it applies to" in ran.out


def test_a_pool_of_ones_own(selbench, picky):
    ran = selbench(
        "check",
        "picky",
        "--kind",
        "selector",
        f"plugin_path={picky}",
        "pool=file",
        f"pool.path={picky / 'pages.jsonl'}",
    )
    assert ran.status == 0 and "picky: 15 of 15 checks passed, 1 skipped" in ran.out, ran.out


def test_a_name_of_two_kinds(selbench, picky):
    refused = selbench("check", "picky", f"plugin_path={picky}")
    assert refused.status == 2 and "'picky' is the name of a selector, a pool: say which with --kind" in refused.err
    ran = selbench("check", "picky", f"plugin_path={picky}", "--kind", "pool")
    assert ran.status == 0 and "a pool is loaded" in ran.out


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["picky", "part=text"], "part=text: an option is typed with its kind: selector.part=text"),
        (["picky", "prat=text"], "unknown setting 'prat'. Did you mean 'selector.part'?"),
        (["picky", "selector.prat=text"], "Did you mean 'selector.part'?"),
        (["picky", "suite=planted"], "unknown setting 'suite'. Valid: data_root, model, "),
        (["picky", "selector=random"], "the selector is the one that is checked"),
        (["picky", "other"], "'other' is not a setting"),
        (["pikcy"], "unknown selector 'pikcy'. Did you mean 'picky'?"),
    ],
)
def test_what_means_nothing_is_refused(selbench, picky, typed, said):
    ran = selbench("check", *typed, "--kind", "selector", f"plugin_path={picky}")
    assert ran.status == 2 and said in ran.err and ran.out == ""


def test_a_preset_is_checked(selbench):
    ran = selbench("check", "kcenter_tfidf", "selector.dimension=8")
    assert ran.status == 0 and "kcenter_tfidf: 16 of 16 checks passed" in ran.out


def test_all_plugins_of_a_folder(selbench, tmp_path):
    (tmp_path / "two.py").write_text(COLUMN)
    ran = selbench("check", f"plugin_path={tmp_path}")
    assert ran.status == 0 and "2 plugins checked, none failed" in ran.out


def test_a_folder_named_selbench_in_the_working_directory_is_not_selbench(tmp_path):
    """As above a clone: the other process must find the package, not the folder."""
    (tmp_path / "selbench" / "testing").mkdir(parents=True)
    script = (
        tmp_path / "bin" / "selbench"
    )  # a script's own folder, and not the working directory, is where it finds modules
    script.parent.mkdir()
    script.write_text("import sys\nfrom selbench.cli.main import run\nsys.exit(run(sys.argv[1:]))\n")
    ran = subprocess.run([sys.executable, str(script), "check", "random"], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0 and "16 of 16 checks passed" in ran.stdout, ran.stdout + ran.stderr


@pytest.mark.parametrize("check", selector_checks, ids=lambda check: check.__name__)
def test_the_checks_serve_pytest(check, tmp_path):
    """As docs/plugins.md shows it; a check that does not apply is skipped."""
    check(Subject("list_ids", plugin_path=[str(ODD)]), tmp_path)
