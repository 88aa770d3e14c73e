"""What counts as one arm: every setting that can change a result and varies on a board keeps runs apart, and is shown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import toy_runs

from selbench.comparison.sides import find_sides
from selbench.config import composed_run
from selbench.errors import UserError
from selbench.report import words
from selbench.report.leaderboard import board_of, show_records
from selbench.report.tables import board_frame
from selbench.run.carry_out import carry_out
from selbench.store.axes import Axes
from selbench.store.facts import ScoreRow
from selbench.store.names import Thing, distinct_names
from selbench.store.outputs import Outputs
from selbench.store.records import Record

PLUGINS = '''
"""A selector with a target, and a trainer and a suite with options."""
import json
from pathlib import Path
from selbench.api import ModelRef, Score, Selection, selector, suite, trainer

@selector("towards", targeted=True)
class Towards:
    """The example at the place that the target names comes first."""
    def select(self, pool, budget, context):
        first = sum(int(example.prompt.split()[-1]) for part in context.target.values() for example in part)
        return Selection.ordered([(first + i) % len(pool) for i in range(len(pool))], budget)

@trainer("toy_tuner")
class Tuner:
    """Writes down the ids, times an option."""
    times: int = 1
    def train(self, examples, model, context):
        (context.scratch / "weights").mkdir()
        numbers = [int(example.id) * self.times for example in examples]
        (context.scratch / "weights" / "seen.json").write_text(json.dumps(numbers))
        return ModelRef(name=model.name, path=str(context.scratch / "weights"))

@suite("mean_id")
class MeanId:
    """The mean of the ids, beyond an option."""
    beyond: int = 0
    def evaluate(self, model, context):
        numbers = json.loads((Path(model.path) / "seen.json").read_text())
        items = {f"i{n}": float(sum(numbers) / len(numbers) - self.beyond) for n in range(3)}
        return [Score("t", "m", items["i0"], items=items)]
'''


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_runs.toy_model(tmp_path_factory.mktemp("toy_model") / "tiny")


@pytest.fixture
def run(toy_model: Path, tmp_path: Path) -> Callable[..., Record]:
    """Carries out a run of the toys above and gives its record."""
    pool = toy_runs.toy_pool(tmp_path)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "towards.py").write_text(PLUGINS)
    base = [
        f"plugin_path={tmp_path / 'plugins'}", "pool=file", f"pool.path={pool}", "model=local", f"model.path={toy_model}",
        "trainer=toy_tuner", "suite=[mean_id]", "tracking=none", f"output_dir={tmp_path / 'outputs'}", "budget=5",
    ]  # fmt: skip
    return lambda *settings: carry_out(composed_run([*base, *settings]))[0]


def target_file(folder: Path, name: str, number: int) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"instruction": f"Say {number}", "output": "word"}) + "\n")
    return path


def labels(*runs: Record) -> list[str]:
    return sorted({row.arm for table in board_of(runs).tables for row in table.rows})


def titles(*runs: Record) -> list[str]:
    board = board_of(runs)
    return [words.table_title(board, table) for table in board.tables]


def test_two_targets_are_two_arms_with_their_own_scores(run, tmp_path):
    near, far = (target_file(tmp_path, f"{name}.jsonl", number) for name, number in (("near", 0), ("far", 20)))
    towards = ["selector=towards", "target=file"]
    found = [run(*towards, f"target.file.path={path}", "seed=0") for path in (near, far)]
    found.append(run("selector=random", "seed=0"))
    rows = {row.arm: row.score for table in board_of(found).tables for row in table.rows}
    assert rows["towards for file (path=near.jsonl)"] == 2.0 and rows["towards for file (path=far.jsonl)"] == 22.0
    assert set(rows) == {"towards for file (path=near.jsonl)", "towards for file (path=far.jsonl)", "random"}
    assert labels(found[0], found[2]) == ["random", "towards"]  # nothing is said that does not vary
    assert found[0].axes.target_key != found[1].axes.target_key and found[2].axes.target_key is None


def test_two_targets_of_one_name_and_file_name_are_told_apart_by_their_content(run, tmp_path):
    paths = [target_file(tmp_path, f"{folder}/want.jsonl", number) for folder, number in (("a", 0), ("b", 20))]
    found = [run("selector=towards", "target=file", f"target.file.path={path}") for path in paths]
    assert labels(*found) == sorted(f"towards for file #{one.axes.target_key[:4]}" for one in found)


def test_targets_are_shown_on_terminal_page_and_in_files_and_can_be_compared(run, tmp_path, capsys):
    paths = [target_file(tmp_path, f"{name}.jsonl", number) for name, number in (("near", 0), ("far", 20))]
    found = [
        run("selector=towards", "target=file", f"target.file.path={path}", f"seed={seed}")
        for path in paths
        for seed in (0, 1)
    ]
    found += [run("selector=random", f"seed={seed}") for seed in (0, 1)]
    board = show_records(found, tmp_path / "board.csv", runs=Outputs(tmp_path / "outputs").records.root)
    assert "far.jsonl" in capsys.readouterr().out
    assert "towards for file (path=far.jsonl)" in (tmp_path / "board.html").read_text()
    assert "path=far.jsonl" in (tmp_path / "board.md").read_text().replace("\\", "")
    assert sorted(set(board_frame(board)["target"])) == ["", "file (path=far.jsonl)", "file (path=near.jsonl)"]
    none = {"comparison": None, "budget": None, "model": None, "suite": None}
    a, b = find_sides(found, "towards for file (path=far.jsonl)", "random", none)
    assert [side.seeds for side in (a, b)] == [(0, 1), (0, 1)] and {r.axes.selector for r in a.records} == {"towards"}
    with pytest.raises(UserError, match="'towards' is several arms: name one of 'towards for file"):
        find_sides(found, "towards", "random", none)


def test_a_targeted_baseline_is_the_one_of_the_same_target():
    found = [record("near", target=name, seed=seed) for name in "ab" for seed in (0, 1)]
    found += [record("other", target=name, seed=seed) for name in "ab" for seed in (0, 1)]
    rows = {row.arm: row for row in board_of(found, baseline="near").tables[0].rows}
    assert rows["other for a"].vs_baseline.b == "near for a" and rows["other for b"].vs_baseline.b == "near for b"


def test_equal_scores_everywhere_make_a_board():
    found = [record("near", target=name, seed=seed) for name in "ab" for seed in (0, 1)] + [record("random")]
    assert [row.arm for row in board_of(found).tables[0].rows] == ["near for a", "near for b", "random"]


def test_old_records_are_told_apart_by_the_name_of_the_target_and_join_new_ones():
    old = [record("near", target=name, seed=0) for name in "ab"]
    assert labels(*old) == ["near for a", "near for b"]
    new = [record("near", target=name, seed=1, target_key=name * 5, model_key="m" * 5) for name in "ab"]
    rows = {row.arm: row.seeds for table in board_of([*old, *new]).tables for row in table.rows}
    assert rows == {"near for a": 2, "near for b": 2}


def test_a_pool_is_named_after_its_file_and_one_of_the_same_name_by_its_content(run, tmp_path):
    first = run()
    assert first.axes.pool == "pool" and first.config["pool"]["name"] == "pool"
    paths = []
    for number in range(3):
        folder = tmp_path / f"p{number}"
        folder.mkdir()
        paths.append(folder / ("mine.jsonl" if number else "other.jsonl"))
        rows = (tmp_path / "pool.jsonl").read_text().splitlines()
        paths[-1].write_text("\n".join(rows[number + 1 :]) + "\n")
    other, one, two = (run(f"pool.path={path}") for path in paths)
    assert [axes.pool for axes in (other.axes, one.axes, two.axes)] == ["other", "mine", "mine"]
    found = titles(one, two)
    assert len(set(found)) == 2 and all(f"pool mine #{r.axes.pool_key[:4]}" in t for r, t in zip((one, two), found))
    assert "pool mine " in titles(one)[0] and "#" not in titles(one)[0]
    named = run(f"pool.path={paths[2]}", "pool.name=two", "seed=7")
    assert named.axes.pool == "two"
    several = composed_run(["pool=file", f"pool.path=[{paths[0]},{paths[1]}]"])
    assert several.pool.name == "other+mine"
    assert composed_run(["pool=hub", "pool.hub=owner/stuff"]).pool.name == "stuff"
    assert (
        composed_run(["pool=file", "pool.path=x.csv.gz", "target=file", "target.file.path=y.csv"]).targets["file"].name
        == "y"
    )


def test_two_model_folders_of_one_name_are_two_tables(run, toy_model, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(toy_model, tmp_path / name / "tiny")
    config = tmp_path / "b" / "tiny" / "tokenizer_config.json"
    config.write_text(config.read_text().rstrip()[:-1] + ', "note": "another"}')
    one, two = (run(f"model.path={tmp_path / name / 'tiny'}", "budget=4") for name in ("a", "b"))
    assert one.axes.model == two.axes.model == "tiny" and one.axes.model_key != two.axes.model_key
    found = titles(one, two)
    assert len(set(found)) == 2 and f"model tiny #{one.axes.model_key[:4]}" in found[0]
    assert run().axes.model_key == one.axes.model_key  # a copy elsewhere is the same model
    assert "#" not in titles(run(), one)[0]
    third = run(f"model.path={tmp_path / 'a' / 'tiny'}", "model.template=alpaca", "model.max_length=99")
    assert "model tiny (template=alpaca, max_length=99)" in titles(one, third)[1]


def test_a_scorer_of_the_models_name_but_another_content_is_named(run, toy_model, tmp_path):
    shutil.copytree(toy_model, tmp_path / "tiny")
    config = tmp_path / "tiny" / "tokenizer_config.json"
    config.write_text(config.read_text().rstrip()[:-1] + ', "note": "another"}')
    towards = target_file(tmp_path, "near.jsonl", 0)
    setting = ["selector=towards", "target=file", f"target.file.path={towards}"]
    own, via = run(*setting), run(*setting, "scorer=local", f"scorer.path={tmp_path / 'tiny'}")
    assert own.key == via.key or own.axes.scorer_key != via.axes.scorer_key
    keyed = [record("near", scorer="m", model_key="aaaaaa", scorer_key=key) for key in ("aaaaaa", "abbbbb")]
    assert labels(*keyed) == ["near", "near via m #abbb"]


@pytest.mark.parametrize(
    ("option", "shown"),
    [("trainer.times=2", "trainer toy_tuner (times=2)"), ("suite.mean_id.beyond=1", "mean_id (beyond=1): m")],
)
def test_options_of_trainer_and_suite_stand_in_the_heading_where_they_vary(run, option, shown):
    one, two = run(), run(option)
    assert shown in titles(one, two)[1] and "(" not in titles(two)[0].replace("(higher is better)", "")
    assert len(set(titles(one, two))) == 2


def test_comparisons_stand_in_the_heading_where_there_are_several(run):
    one, two = run(), run("comparison=second")
    assert "comparison second" in titles(one, two)[1] and "comparison" not in titles(one)[0]


def test_budgets_in_examples_and_tokens_are_two_tables(run):
    one, two = run("budget=30"), run("budget=30", "budget_unit=tokens")
    assert [table.budget for table in board_of([one, two]).tables] == ["30", "30 tok"]


def test_names_are_told_apart_by_options_or_else_by_hashes():
    def shown(*things: Thing) -> list[str]:
        return list(distinct_names(things).values())

    assert shown(Thing("a", "1", {"x": 1}), Thing("b", "2", {"x": 2})) == ["a", "b"]
    assert shown(Thing("a", "1", {"x": {"y": "d/1"}}), Thing("a", "2", {"x": {"y": "e/2"}})) == ["a (y=1)", "a (y=2)"]
    assert shown(Thing("a", "1", {"x": True}), Thing("a", "2", {"x": False})) == ["a (x=true)", "a (x=false)"]
    assert shown(Thing("a", "12345", {}), Thing("a", "12346", {})) == ["a #12345", "a #12346"]
    assert shown(Thing("a", "", {}), Thing("a", "12346", {}), Thing("a", "99", {})) == ["a", "a #1234", "a #99"]
    long = [{"x": letter * 30} for letter in "ab"]
    assert shown(Thing("a", "12345", long[0]), Thing("a", "22346", long[1])) == ["a #1234", "a #2234"]


def record(selector: str, target: str | None = None, seed: int = 0, score: float = 0.5, **changes) -> Record:
    axes = Axes.read({
        "selector": selector, "budget": 0.1, "model": "m", "pool": "p", "pool_key": "pk", "trainer": "trl", "match": "epochs",
        "trainer_key": "tk", "suite_keys": {"s": "sk"}, "suites": ["s"], "seed": seed, "target": target, **changes,
    })  # fmt: skip
    return Record(f"{axes}", "finished", axes, {}, scores=[ScoreRow("s", "t", "acc", score, items=5)])
