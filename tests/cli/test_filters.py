"""Test items in pools and targets, and duplicates: told, left out or refused before anything is spent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PLUGINS = '''
from selbench.api import LoadedPool, Pool, Score, Selection, pool, selector, suite
from selbench.data.pools import FilePool


@selector("towards", targeted=True)
class Towards:
    """Looks at its target."""

    def select(self, pool, budget, context):
        assert context.target
        return Selection.ranked([len(example.prompt) for example in pool], budget)


class Scored:
    def evaluate(self, model, context):
        return [Score("toy", "accuracy", 0.5, items={"a": 0.0, "b": 1.0})]


@suite("sums_suite")
class Sums(Scored):
    """Asks sums."""

    def texts(self):
        return {"toy": {"a": "What is 3 + 4?", "b": "What is 5 + 5?"}}


@suite("words_suite")
class Words(Scored):
    """Asks words."""

    def texts(self):
        return {"toy": {"a": "Which word comes last here?", "b": "Which word comes first here?"}}


@suite("silent_suite")
class Silent(Scored):
    """Does not say what it asks."""


@suite("broken_suite")
class Broken(Scored):
    """Fails when it is asked."""

    def texts(self):
        raise RuntimeError("no such table")


@pool("theirs")
class Theirs(FilePool):
    """A pool of somebody else's, with labels."""

    name: str = "theirs"

    def load(self):
        loaded = super().load()
        return LoadedPool(loaded.pool, {id: {"odd": "yes"} for id in loaded.pool.ids})
'''
SUM, WORD = "What is 3 + 4?", "Which word comes last here?"


def rows(path: Path, *instructions: str) -> Path:
    path.write_text(
        "".join(
            json.dumps({"id": f"{path.stem}{i:02d}", "instruction": text, "output": "so it is"}) + "\n"
            for i, text in enumerate(instructions)
        )
    )
    return path


@pytest.fixture
def run(selbench, settings, tmp_path):
    """`run("plan", ...)`: a verb on a pool of twenty, of which one row holds a sum, one a word, and one is said twice."""
    plugins = tmp_path / "plugins" / "ours.py"
    plugins.parent.mkdir()
    plugins.write_text(PLUGINS)
    others = [f"Tell me about number {i}" for i in range(16)]
    pool = rows(tmp_path / "pool.jsonl", *others, SUM, WORD, "Say it twice", "say it  TWICE!")
    rows(tmp_path / "clean.jsonl", "Tell me a sum", "Tell me a word")
    rows(tmp_path / "leaky.jsonl", SUM, "Tell me a word", SUM + " ")
    rows(tmp_path / "all.jsonl", SUM)
    kept = [text for text in settings if not text.startswith(("pool", "suite", "plugin_path"))]
    toys = next(text for text in settings if text.startswith("plugin_path")).partition("=")[2]

    def call(*arguments: str, data: Path = pool):
        verb = [one for one in arguments if one in ("plan", "select", "inspect", "-m")]
        mine = [f"plugin_path=[{toys},{plugins}]", "pool=file", f"pool.path={data}", "suite=sums_suite", "budget=4"]
        typed = {text.partition("=")[0]: text for text in [*kept, *mine]}
        typed |= {text.partition("=")[0]: text for text in arguments if text not in verb}
        return selbench(*verb, *typed.values())

    return call


def records(tmp_path: Path) -> list[dict]:
    found = [json.loads(path.read_text()) for path in (tmp_path / "outputs" / "runs").glob("*/record.json")]
    return sorted(found, key=lambda record: record["created"])


def target(tmp_path: Path, *names: str) -> list[str]:
    return ["selector=towards", "target=file", f"target.file.path={','.join(str(tmp_path / n) for n in names)}"]


def test_a_target_that_holds_test_items_is_told_before_and_after(run, selbench, tmp_path):
    said = run("plan", *target(tmp_path, "leaky.jsonl")).err
    assert "target 'file' holds 1 of 2 items of suite 'sums_suite' in 2 of its examples (towards)" in said
    ran = run(*target(tmp_path, "leaky.jsonl"))
    assert ran.status == 0
    warned, selecting = ran.err.index("target 'file' holds 1 of 2 items"), ran.err.index("selecting")
    assert warned < selecting
    (record,) = records(tmp_path)
    assert record["leaks"]["sums_suite"]["target"] == {"file": 1}
    assert record["leaks"]["sums_suite"]["target_examples"] == {"file": 2}
    outputs = f"--outputs={tmp_path / 'outputs'}"
    assert "target 'file' holds 1 of 2 items" in selbench("show", record["key"][:8], outputs).out
    board = selbench("leaderboard", outputs, "--json")
    tables = json.loads(board.out)
    assert any("towards: target 'file' holds 1 of 2 items" in line for line in tables["warnings"])
    assert tables["tables"][0]["rows"][0]["target_leaked"] == 1
    assert "items in target" in selbench("leaderboard", outputs).out


def test_of_two_targets_only_the_one_that_leaks_is_blamed_and_random_is_not(run, selbench, tmp_path):
    both = target(tmp_path, "leaky.jsonl", "clean.jsonl")
    ran = run("-m", "selector=random,towards", *both[1:])
    assert ran.status == 0 and "holds 1 of 2 items of suite 'sums_suite' in 2 of its examples (towards)" in ran.err
    by_arm = {(r["axes"]["selector"], json.dumps(r["leaks"]["sums_suite"]["target"])) for r in records(tmp_path)}
    assert by_arm == {("random", "{}"), ("towards", '{"file": 1}'), ("towards", '{"file": 0}')}
    board = json.loads(selbench("leaderboard", f"--outputs={tmp_path / 'outputs'}", "--json").out)
    blamed = {row["arm"]: row["target_leaked"] for row in board["tables"][0]["rows"]}
    assert sorted(blamed.items()) == sorted(
        {"random": None, **{arm: (1.0 if "leaky" in arm else 0.0) for arm in blamed if arm != "random"}}.items()
    )
    page = next((tmp_path / "outputs" / "reports").glob("*.html")).read_text()
    assert "holds 1 of 2 items of suite" in page and "no test items" in page


def test_leaks_are_left_out_of_pool_and_target(run, tmp_path):
    ran = run(*target(tmp_path, "leaky.jsonl"), "leaks=drop")
    assert ran.status == 0, ran.err
    assert "pool: 1 of 20 examples is left out: 1 holds items of sums_suite." in ran.err
    assert "target.file: 2 of 3 examples are left out" in ran.err and "target 'file' holds" not in ran.err
    (record,) = records(tmp_path)
    assert record["axes"]["pool"] == "pool (without items of sums_suite)"
    assert record["axes"]["target"] == "file (without items of sums_suite)"
    kept = {"of": 20, "kept": 19, "leaks": {"sums_suite": 1}, "duplicates": {}}
    assert record["filters"]["pool"] == kept and record["filters"]["target.file"]["kept"] == 1
    assert record["leaks"]["sums_suite"]["leaked"] == 0 and record["leaks"]["sums_suite"]["target"] == {"file": 0}
    again = run(*target(tmp_path, "leaky.jsonl"), "leaks=drop")
    assert "already done" in again.err and len(records(tmp_path)) == 1


@pytest.mark.parametrize("verb", [[], ["plan"], ["-m"], ["select"]], ids=str)
def test_refused_leaks_stop_everything_before_it_starts(run, tmp_path, verb):
    ran = run(*verb, "selector=random", "leaks=refuse")
    assert ran.status != 0 and not records(tmp_path)
    assert "pool 'pool' holds 1 of 2 items of suite 'sums_suite' in 1 of its examples (first 'pool16')" in ran.err
    assert "pool.leaks=drop" in ran.err


def test_only_the_target_leaks(run, tmp_path):
    clean = rows(tmp_path / "cleanpool.jsonl", *(f"Tell me about number {i}" for i in range(12)))
    leaky = target(tmp_path, "leaky.jsonl")
    refused = run(*leaky, "leaks=refuse", data=clean)
    assert refused.status != 0 and "target 'file' holds 1 of 2 items" in refused.err
    assert run("plan", "selector=random", *leaky[1:], "leaks=refuse", data=clean).status == 0  # does not look at it
    assert run("plan", *leaky, "leaks=refuse", "target.file.leaks=report", data=clean).status == 0
    assert run("plan", *leaky, "target.file.leaks=drop", data=clean).status == 0


@pytest.mark.parametrize("leaks", ["drop", "refuse"])
def test_a_suite_that_cannot_be_checked_is_not_taken_as_clean(run, leaks):
    ran = run("plan", "selector=random", "suite=silent_suite", f"leaks={leaks}")
    assert ran.status != 0 and "suite 'silent_suite' has no method texts()" in ran.err
    failed = run("plan", "selector=random", "suite=broken_suite", f"leaks={leaks}")
    assert failed.status != 0 and "suite 'broken_suite': texts() failed: RuntimeError: no such table" in failed.err


def test_nothing_left_of_pool_or_target(run, tmp_path):
    everything = rows(tmp_path / "everything.jsonl", SUM, SUM + " ")
    assert "all 2 hold items of sums_suite" in run("plan", "selector=random", "leaks=drop", data=everything).err
    emptied = run("plan", *target(tmp_path, "all.jsonl"), "leaks=drop")
    assert emptied.status != 0 and "target 'file': no example is left, because all 1 hold items" in emptied.err
    assert "target.file.leaks=report" in emptied.err


def test_two_suites_and_two_filters_have_tables_of_their_own(run, selbench, tmp_path):
    assert run("selector=random", "suite=[sums_suite,words_suite]", "leaks=drop").status == 0
    assert run("-m", "selector=random", "suite=sums_suite,words_suite", "leaks=drop,report").status == 0
    assert run("-m", "selector=random", "pool.drop_duplicates=no,exact,near").status == 0
    told = selbench("leaderboard", f"--outputs={tmp_path / 'outputs'}", "--json", "--all")
    tables = json.loads(
        (told if told.out else selbench("leaderboard", f"--outputs={tmp_path / 'outputs'}", "--json")).out
    )
    headings = {(table["setting"]["suite"], table["setting"]["pool"]) for table in tables["tables"]}
    both = "pool (without items of sums_suite and words_suite)"
    assert headings == {
        ("sums_suite", both),
        ("words_suite", both),
        ("sums_suite", "pool (without items of sums_suite)"),
        ("words_suite", "pool (without items of words_suite)"),
        ("sums_suite", "pool"),
        ("words_suite", "pool"),
        ("sums_suite", "pool (without near duplicates)"),
    }  # exact duplicates there are none: the same pool, and the same cell


def test_the_default_leaves_keys_as_they_are_and_a_share_is_of_what_is_left(run, tmp_path):
    assert run("selector=full", "budget=0.5").status == 0
    assert run("selector=full", "pool.drop_duplicates=no", "leaks=report").err.count("already done") == 1
    assert run("selector=full", "pool.drop_duplicates=near", "leaks=drop").status == 0
    whole, filtered = records(tmp_path)
    assert whole["filters"] == {} and whole["selection"]["examples"] == 20
    assert filtered["selection"]["examples"] == 18
    assert filtered["axes"]["pool"] == "pool (without items of sums_suite, without near duplicates)"
    assert run("selector=random", "pool.drop_duplicates=near", "leaks=drop", "budget=0.5").status == 0
    assert records(tmp_path)[-1]["selection"]["examples"] == 9


def test_select_and_inspect_use_the_filtered_pool_of_another_with_its_labels(run, tmp_path):
    pool = ["pool=theirs", "pool.drop_duplicates=near", "leaks=drop", "selector=full"]
    ran = run("select", *pool, f"--out={tmp_path / 'core.jsonl'}")
    assert ran.status == 0 and "pool: 2 of 20 examples are left out" in ran.err
    ids = (tmp_path / "core.ids.txt").read_text().split()
    assert len(ids) == 18 and not {"pool16", "pool19"} & set(ids) and "pool18" in ids
    looked = run("inspect", *pool, f"--out={tmp_path / 'looked'}")
    assert looked.status == 0 and "18 of 18 examples" in looked.err + looked.out


def test_a_filter_without_effect_says_so(run):
    clean = run("select", "selector=full", "suite=words_suite", "pool.leaks=drop", "pool.drop_duplicates=exact")
    assert "1 of 20 examples is left out: 1 holds items of words_suite" in clean.err
    none = run("select", "selector=full", "pool.drop_duplicates=exact")
    assert "pool: no example is left out; searched for exact duplicates." in none.err


def test_a_preset_may_say_no_as_yaml_reads_it(run, tmp_path):
    folder = tmp_path / "presets" / "pool"
    folder.mkdir(parents=True)
    (folder / "plain.yaml").write_text("defaults: [file, _self_]\nname: plain\ndrop_duplicates: no\n")
    assert run("plan", f"--config-dir={tmp_path / 'presets'}", "pool=plain", "selector=random").status == 0
    wrong = run("plan", "selector=random", "pool.drop_duplicates=maybe")
    assert wrong.status != 0 and "exact, near, no" in wrong.err


def test_two_suites_of_one_plugin_are_told_apart(run, tmp_path):
    presets = tmp_path / "presets" / "suite"
    presets.mkdir(parents=True)
    for name in ("first", "second"):
        (presets / f"{name}.yaml").write_text(f"# @package suite.{name}\ndefaults: [/suite/sums_suite@_here_]\n")
    ran = run("selector=random", "suite=[first,second]", "leaks=drop", f"--config-dir={presets.parent}")
    assert ran.status == 0, ran.err
    (record,) = records(tmp_path)
    assert "1 of 20 examples is left out: 1 holds items of first, 1 holds items of second." in ran.err
    assert {"leaks/items of suite 'first' in unfiltered pool", "leaks/items of suite 'second' in unfiltered pool"} <= {
        *record["stages"]
    }
