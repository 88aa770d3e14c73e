"""What counts as one arm: every setting that can change a result and varies on a board keeps runs apart, and is shown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import toy_runs

from selbench.comparison.sides import find_sides
from selbench.config.runs import composed_run
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
    for number, part in enumerate(PLUGINS.split("\n@")[1:]):  # a file for each, as the code of a file is one
        (tmp_path / "plugins" / f"part{number}.py").write_text(f"{PLUGINS.partition('@')[0]}@{part}")
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


# ------------------------------------------------------------------------------------------------ old and new code


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., None]:
    """Replaces a piece of the toys' code, as its author would between two runs."""

    def edit(before: str, after: str) -> None:
        (file,) = [path for path in (tmp_path / "plugins").glob("*.py") if before in path.read_text()]
        file.write_text(file.read_text().replace(before, after))

    return edit


def seeds(*runs: Record) -> dict[str, tuple[int, float]]:
    """Arm -> number of its runs and score."""
    return {row.arm: (row.seeds, row.score) for table in board_of(runs).tables for row in table.rows}


SELECTOR = ("first = sum", "first = 10 + sum")


def test_runs_by_older_code_of_a_selector_are_left_out_and_counted(run, edited, tmp_path, caplog):
    setting = ["selector=towards", "target=file", f"target.file.path={target_file(tmp_path, 'near.jsonl', 0)}"]
    old = [run(*setting, f"seed={seed}") for seed in (0, 1)]
    random = run("selector=random")
    assert seeds(*old)["towards"] == (2, 2.0) and board_of(old).warnings[0].startswith("no arm")
    edited(*SELECTOR)
    new = run(*setting, "seed=0")
    found = [*old, random, new]
    assert seeds(*found)["towards"] == (1, 12.0)
    (said,) = [text for text in board_of(found).warnings if "older code" in text]
    assert said.startswith(
        "2 runs by older code are left out (1 of them have no newer run: towards 5 tiny s1). Up to date by:"
    )
    assert "selbench" in said
    show_records(found, tmp_path / "board.csv", runs=Outputs(tmp_path / "outputs").records.root)
    for text in (caplog.text, *((tmp_path / f"board.{end}").read_text() for end in ("md", "html"))):
        assert "2 runs by older code are left out" in " ".join(text.replace("\\", "").split())
    found.append(run(*setting, "seed=1"))
    assert seeds(*found)["towards"] == (2, 12.0)
    (said,) = [text for text in board_of(found).warnings if "older code" in text]
    assert said == "2 runs by older code are left out: newer runs of the same cells stand in their place."


def test_an_edit_taken_back_makes_the_first_runs_the_newest_again(run, edited, tmp_path):
    setting = ["selector=towards", "target=file", f"target.file.path={target_file(tmp_path, 'near.jsonl', 0)}"]
    old = run(*setting)
    edited(*SELECTOR)
    new = run(*setting)
    assert seeds(old, new)["towards"] == (1, 12.0)
    edited(*reversed(SELECTOR))
    back = run(*setting)
    assert back.key == old.key and back.asked > new.created
    assert seeds(back, new)["towards"] == (1, 2.0)


@pytest.mark.parametrize(
    "edit", [("* self.times", "* self.times * 2"), ("- self.beyond", "- self.beyond + 50")], ids=["trainer", "suite"]
)
def test_runs_by_older_code_of_trainer_or_suite_are_left_out(run, edited, edit):
    old = [run(f"seed={seed}") for seed in (0, 1)]
    edited(*edit)
    new = run("seed=0")
    board = board_of([*old, new])
    assert [len(board.tables), board.tables[0].rows[0].seeds] == [1, 1]
    assert board.tables[0].rows[0].runs == (new.key,) and "2 runs by older code" in board.warnings[0]


def test_a_suite_that_was_edited_takes_no_other_suite_with_it():
    two = {"s": "sk", "z": "zk"}
    options = {"s": "so", "z": "zo"}
    rows = [ScoreRow(name, "t", "acc", 0.5, items=5) for name in two]
    old = replace(record("a", suite_keys=two, suite_options_keys=options, seed=0, trainer_options_key="o"), scores=rows)
    new = {**two, "z": "new"}
    now = replace(record("a", suite_keys=new, suite_options_keys=options, seed=1, trainer_options_key="o"), scores=rows)
    assert {t.setting["suite"]: t.rows[0].seeds for t in board_of([old, now]).tables} == {"s": 2, "z": 1}


def test_options_that_differ_are_no_older_code(run):
    found = [run("seed=0"), run("trainer.times=2", "seed=0"), run("suite.mean_id.beyond=1", "seed=0")]
    assert not any("older code" in text for text in board_of(found).warnings)


def test_two_runs_on_one_place_are_refused_in_words(run):
    keyed = {"selector_code_key": "c", "trainer_options_key": "o", "suite_options_keys": {"s": "so"}}
    one, two = (record("a", budget=budget, **keyed) for budget in (0.12345671, 0.12345672))
    one, two = replace(one, key="first"), replace(two, key="second")
    with pytest.raises(
        UserError, match=r"first and second would both be 'a .*differ in budget \(0.12345671 and 0.12345672\)"
    ):
        board_of([one, two])
    same = [replace(each, stages={"evaluation/s": "e"}) for each in (one, two)]
    assert board_of(same).tables[0].rows[0].seeds == 1  # one measurement under two runs


def test_a_record_from_before_the_keys_gets_them_when_it_is_asked_for_again(run, tmp_path):
    first = run()
    file = tmp_path / "outputs" / "runs" / first.key / "record.json"
    data = json.loads(file.read_text())
    for name in ("model_key", "selector_code_key", "trainer_options_key", "suite_options_keys"):
        del data["axes"][name]
    file.write_text(json.dumps(data))
    assert Outputs(tmp_path / "outputs").records.read(first.key).axes.model_key == ""
    assert run().axes == first.axes == Outputs(tmp_path / "outputs").records.read(first.key).axes


def test_an_old_record_beside_new_ones_is_older_code_until_it_is_asked_for():
    keyed = {"selector_code_key": "c", "trainer_options_key": "o", "suite_options_keys": {"s": "so"}}
    old, new = record("a", seed=0), record("a", seed=1, **keyed)
    old, new = replace(old, created="2026-01-01"), replace(new, created="2026-01-02")
    assert seeds(old, new)["a"] == (1, 0.5) and "1 run by older code is left out" in board_of([old, new]).warnings[0]


def test_mixed_libraries_and_devices_inside_an_arm_are_flagged():
    def made(seed: int, torch: str, gpu: str | None, selector: str = "a") -> Record:
        about = {"packages": {"torch": torch, "mlflow": torch}, "hardware": {"device": gpu and "cuda", "gpu": gpu}}
        return replace(record(selector, seed=seed), versions=about)

    def said(*runs: Record) -> list[str]:
        return [text for text in board_of(runs).warnings if "averaged" in text]

    assert said(made(0, "2.12", None), made(1, "2.13", "H200"), made(0, "2.12", "H200", "b")) == [
        "a: averaged over runs with different versions of torch (2.12, 2.13)."
    ]
    assert said(made(0, "2.12", "A10"), made(1, "2.12", "H200")) == [
        "a: averaged over runs with different devices (A10, H200)."
    ]
    assert said(made(0, "2.12", "H200"), made(0, "2.13", None, "b")) == []


def test_records_of_a_server_keep_the_arms_apart(run, tmp_path):
    from selbench.tracking.download import records_from_server

    paths = [target_file(tmp_path, f"{name}.jsonl", number) for name, number in (("near", 0), ("far", 20))]
    uri = f"sqlite:///{tmp_path / 'server.db'}"
    from selbench.tracking.mirror import mirror_record

    found = []
    for path in paths:
        setting = [
            "selector=towards",
            "target=file",
            f"target.file.path={path}",
            "tracking=mlflow",
            f"tracking.uri={uri}",
        ]
        found.append(run(*setting))
        made = composed_run([f"plugin_path={tmp_path / 'plugins'}", "tracking=mlflow", f"tracking.uri={uri}",
                             f"output_dir={tmp_path / 'outputs'}"])  # fmt: skip
        mirror_record(found[-1], Outputs(tmp_path / "outputs").records.folder(found[-1].key), made, False)
    fetched, _ = records_from_server(uri, folder=tmp_path / "fetched")
    assert labels(*fetched) == labels(*found) and len(labels(*fetched)) == 2
