"""`selbench compare` on records written by hand: the numbers, the words, and every mistake in a sentence."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from selbench.cli.compare import main
from selbench.data.pools import FilePool
from selbench.errors import UserError
from selbench.store.axes import Axes
from selbench.store.facts import ScoreRow, SelectionFacts
from selbench.store.files import write_json
from selbench.store.records import Record, Records

EVIL = "[bold]q[/bold]<b>"


class Bench:
    """An output folder with runs of a quiz of two tasks over a pool of twenty examples."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rows = [{"id": f"e{i:02d}", "instruction": f"[red]ask {i}[/red]", "output": "x"} for i in range(20)]
        self.file = folder / "pool.jsonl"
        self.file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.pool_key = FilePool(path=str(self.file)).load().pool.fingerprint[:20]

    def run(
        self, key: str, selector: str, seed: int | None, values: dict[str, list[float]], ids: list[int], **more
    ) -> None:
        """`values` are those of the items of each task; `more`: budget, model, status, metric, higher, suite, options."""
        suite, metric = more.get("suite", "quiz"), more.get("metric", "acc")
        budget = None if seed is None else more.get("budget", 0.25)
        axes = {"selector": selector, "budget": budget, "budget_unit": "examples", "seed": seed, "pool": "pool"}
        axes |= {
            "model": more.get("model", "toy"),
            "scorer": None,
            "trainer": "t",
            "trainer_key": "t",
            "match": "epochs",
        }
        axes |= {"pool_key": self.pool_key, "suites": [suite], "suite_keys": {suite: "k"}}
        higher = more.get("higher", True)
        row = {"suite": suite, "metric": metric, "higher_is_better": higher, "headline": True}
        options = {"name": selector, **more.get("options", {})}
        record = Record(
            key,
            more.get("status", "finished"),
            Axes.read(axes),
            {"pool": {"path": str(self.file)}, "selector": options, "seed": seed, "sweep": key},
            reason=more.get("reason", ""),
            created=f"2026-01-01T00:00:00.{len(list((self.folder / 'runs').glob('*'))):03d}+00:00",
            scores=[ScoreRow(**row, task=t, value=float(np.mean(v)), items=len(v)) for t, v in values.items()],
            selection=SelectionFacts(examples=len(ids), response_tokens=10 * len(ids)),
            cost={"selection": {"wall_s": 2.0}, "training": {"wall_s": float(len(key))}},
        )
        Records(self.folder / "runs").write(record)
        write_json(self.folder / "runs" / key / "selection.json", {"ids": [f"e{i:02d}" for i in ids], "scores": None})
        items = [(suite, t, metric, f"{EVIL}{i}", float(x)) for t, v in values.items() for i, x in enumerate(v)]
        table = pd.DataFrame(items, columns=["suite", "task", "metric", "item", "value"])
        table.to_parquet(self.folder / "runs" / key / "items.parquet")

    def compare(self, *arguments: str) -> int:
        return main([*arguments, "--outputs", str(self.folder)])


@pytest.fixture
def bench(tmp_path) -> Bench:
    """Three seeds of `good` and `random`: good answers two more of task one, and one fewer of task two."""
    made = Bench(tmp_path)
    for seed in range(3):
        one, two = [1, 1, 1, 0, 0, seed == 0], [1, 0, 1, 0]
        made.run(f"aa{seed}", "good", seed, {"one": one, "two": [*two[:2], 0, 0]}, [0, 1, 2, 3, 4])
        made.run(f"bb{seed}", "random", seed, {"one": [1, 0, 0, *one[3:]], "two": two}, [0, 1, 5 + seed, 9, 10])
    return made


def test_arms_are_paired_by_seed_and_item(bench, capfd, tmp_path):
    assert bench.compare("good", "random", "--json", "--items", str(tmp_path / "out" / "items.csv")) == 0
    told = json.loads(capfd.readouterr().out)
    whole, one, two = told["scores"]
    assert (whole["task"], whole["items"], whole["seeds"]) == ("", 10, 3)
    assert whole["mean"] == pytest.approx((1 / 3 - 1 / 4) / 2)
    assert one["mean"] == pytest.approx(1 / 3) and two["mean"] == pytest.approx(-1 / 4)
    assert told["items"] == [
        {"suite": "quiz", "binary": True, "answers": 30, "changed": 9, "only_a": 6, "only_b": 3, "left_out": 0}
    ]
    assert [(row["task"], row["item"], row["difference"]) for row in told["changed"]] == [
        ("one", f"{EVIL}1", 1.0),
        ("one", f"{EVIL}2", 1.0),
        ("two", f"{EVIL}2", -1.0),
    ]
    chosen = told["selection"]
    assert (chosen["shared"], chosen["only_a"], chosen["jaccard"]) == (2, 3, pytest.approx(2 / 8))
    # Of 20 examples each side takes 5: the mean of k shared in 10 - k, by how many pairs of sets share k.
    ways = [math.comb(5, k) * math.comb(15, 5 - k) for k in range(6)]
    assert chosen["chance"] == pytest.approx(sum(n * k / (10 - k) for k, n in enumerate(ways)) / math.comb(20, 5))
    assert chosen["top_a"] == ["e02", "e03", "e04"] and chosen["top_b"][:2] == ["e09", "e10"]
    assert told["costs"]["selection s"] == {"a": 2.0, "b": 2.0}
    assert told["settings"] == {"selector.name": {"a": "good", "b": "random"}}
    assert told["verdicts"]["quiz"]["mean"] == pytest.approx(whole["mean"])
    assert len(pd.read_csv(tmp_path / "out" / "items.csv")) == 10


def test_one_run_against_another_is_a_paired_t_over_items(bench, capfd):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 30))
    bench.run("cc1", "x", 0, {"bits": a.tolist()}, [1], suite="loss", metric="bits", higher=False)
    bench.run("dd1", "y", 1, {"bits": b.tolist()}, [2], suite="loss", metric="bits", higher=False, options={"m": 3})
    assert bench.compare("cc", "runs/dd1/", "--json") == 0
    told = json.loads(capfd.readouterr().out)
    (row,) = told["scores"]
    wanted = stats.ttest_rel(b, a)  # lower is better
    interval = wanted.confidence_interval()
    assert (row["mean"], row["p"]) == (pytest.approx(b.mean() - a.mean()), pytest.approx(wanted.pvalue))
    assert (row["low"], row["high"]) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert not told["items"][0]["binary"] and told["verdicts"] == {}
    assert all(row["difference"] == pytest.approx(row["b"] - row["a"]) for row in told["changed"])
    assert told["settings"]["seed"] == {"a": "0", "b": "1"} and told["settings"]["selector.m"]["a"] == "–"
    assert any("one seed" in note for note in told["notes"])


def test_the_page_shows_text_as_text(bench, capfd):
    assert bench.compare("random", "good", "--show", "1") == 0
    out = capfd.readouterr().out
    assert f"{EVIL}1" in out and "[red]ask 9[/red] x" in out and "and 1 more" in out
    assert "A right and B wrong 3, A wrong and B right 6" in out
    assert "Jaccard 0.250, by chance 0.155" in out


def test_the_help_shows_commands_that_can_be_typed(capfd):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--budget 10% --model" in " ".join(capfd.readouterr().out.split())


def test_items_and_pools_that_differ_are_said(bench, capfd):
    bench.run("cc1", "x", 0, {"one": [1, 0, 1], "two": [1, 1]}, [1])
    bench.pool_key = "another"
    bench.run("dd1", "y", 0, {"one": [1, 0], "two": [0, 1]}, [2])
    assert bench.compare("cc1", "dd1") == 0
    out = capfd.readouterr().out
    assert "1 items were answered on one side only" in out and "different pools" in out
    assert "Selections: not to be compared" in out


def test_an_arm_without_a_seed_stands_beside_every_seed(bench, capfd):
    bench.run("base1", "base", None, {"one": [0] * 6, "two": [0] * 4}, [])
    assert bench.compare("good", "base", "--json") == 0
    told = json.loads(capfd.readouterr().out)
    assert told["b"] == {"name": "base", "runs": ["base1"] * 3, "seeds": [0, 1, 2]} and told["selection"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["goood", "random"], r"unknown run or arm 'goood'\. Did you mean 'good'"),
        (["good", "good"], "against itself"),
        (["good", "bb1"], "'good' is an arm and 'bb1' a run"),
        (["aa", "bb1"], "'aa' is the beginning of 3 runs: aa0"),
        (["aa1", "aa1"], "the same run"),
        (["aa1", "ff"], r"run ff1 \(wild 25% toy s0\) is failed: it fell over"),
        (["aa1", "gg"], "no suite in common: .* has quiz; .* has other"),
        (["good", "random", "--budget", "30%"], r"unknown budget '30%'\. .*Valid: 25%"),
        (["good", "wild"], "no run of 'wild' has finished"),
        (["twice", "random"], r"meet in 2 settings: choose with --budget 25%\|50%"),
        (["twice", "good", "--budget", "0.25"], "share no seed"),
    ],
)
def test_mistakes(bench, arguments, message):
    bench.run("ff1", "wild", 0, {"one": [1]}, [1], status="failed", reason="it fell over")
    bench.run("gg1", "other", 0, {"one": [1]}, [1], suite="other")
    for budget in (0.25, 0.5):
        bench.run(f"hh{budget}", "twice", 7, {"one": [1] * 6, "two": [1] * 4}, [1], budget=budget)
    bench.run("ii1", "random", 7, {"one": [1] * 6, "two": [1] * 4}, [1], budget=0.5)
    with pytest.raises(UserError, match=message):
        bench.compare(*arguments)
