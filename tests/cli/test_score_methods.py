"""Methods by score on the command line: refused before any cell where ratings cannot be had, and what they select."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.recorded import records
from helpers.tiny_models import make_byte_tokenizer, make_model


@pytest.fixture
def ratings(tmp_path):
    """Ratings of the toy pool, of which ten are at least 4.5, and of examples of another pool."""
    path = tmp_path / "ratings.jsonl"
    rows = [{"id": f"{i:04d}", "score": 5 if i < 10 else 1} for i in range(40)] + [{"id": "other", "score": 5}]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.mark.parametrize("verb", [(), ("plan",), ("select",), ("inspect",), ("-m",), ("plan", "-m")], ids=" ".join)
@pytest.mark.parametrize("method", ["alpagasus", "deita", "selectit"])
def test_a_scorer_that_cannot_rate_is_refused_before_anything_is_done(verb, method, selbench, settings, tmp_path):
    ran = selbench(*verb, *settings, f"selector={method}", "budget=5")
    assert ran.status == 2 and "Traceback" not in ran.err
    assert (
        f"Name a judge with scorer=NAME, or give ratings made elsewhere with selector.{method}.scores=FILE" in ran.err
    )
    assert not list((tmp_path / "outputs").glob("store/features/*"))


@pytest.mark.parametrize("verb", [("plan",), ("select",), ("-m",)], ids=" ".join)
def test_a_score_file_is_read_before_anything_is_done(verb, selbench, settings, ratings, tmp_path):
    for path, message in ((tmp_path / "gone.csv", "there is no such file"), (tmp_path, "there is no such file")):
        ran = selbench(*verb, *settings, "selector=alpagasus", f"selector.alpagasus.scores={path}", "budget=5")
        assert ran.status == 2 and message in ran.err and "Traceback" not in ran.err
    ratings.write_text('{"id": "0001", "score": 5}\n')
    ran = selbench(*verb, *settings, "selector=alpagasus", f"selector.alpagasus.scores={ratings}", "budget=5")
    assert ran.status == 2 and "no score for 39 of the 40 examples of the pool, among them '0000'" in ran.err


def test_ratings_from_a_file_make_an_arm_that_stops_short(selbench, settings, ratings, tmp_path):
    grid = ["selector=random,alpagasus", f"selector.alpagasus.scores=[{ratings}]", "budget=5,20", "seed=0"]
    ran = selbench("-m", *settings, *grid)
    assert ran.status == 0, ran.err
    got = {
        str(one["axes"]["budget"]): (one["selection"]["examples"], one["selection"].get("asked"))
        for one in records(tmp_path / "outputs")
        if one["axes"]["selector"] == "alpagasus by ratings"
    }
    assert got == {"5": (5, None), "20": (10, 20)}


def test_a_local_judge_and_losses_select_through_the_scorer(selbench, settings, tmp_path):
    folder = tmp_path / "judge"
    make_model(folder, tokenizer=make_byte_tokenizer(), vocab_size=300, max_position_embeddings=1024)
    scorer = ["scorer=local", f"scorer.path={folder}", "scorer.name=judge", "scorer.max_length=1024"]
    for method in (
        "deita",
        "selectit selector.level=token",
        "alpagasus selector.rule=top",
        "ifd",
        "superfilter",
        "perplexity",
    ):
        out = tmp_path / "chosen.jsonl"
        ran = selbench("select", *settings, *f"selector={method}".split(), *scorer, "budget=3", "--out", str(out))
        assert ran.status == 0, ran.err
        assert 1 <= len(out.read_text().splitlines()) <= 3
    stages = [
        json.loads(path.read_text()) for path in (tmp_path / "outputs" / "store" / "features").glob("*/manifest.json")
    ]
    names = [stage["identity"]["spec"]["name"] for stage in stages]
    # Two of ifd, two of superfilter, and none of perplexity, which asks for what ifd has.
    assert names.count("ResponseLosses") == 4 and names.count("DigitLogits") == 2 + 1 + 1


def test_scores_of_a_pool_in_its_order(selbench, settings, tmp_path):
    np.save(tmp_path / "scores.npy", np.arange(40.0))
    out = tmp_path / "chosen.ids.txt"
    options = ["selector=selectit", f"selector.scores={tmp_path / 'scores.npy'}", "budget=2"]
    ran = selbench("select", *settings, *options, "--out", str(out))
    assert ran.status == 0, ran.err
    assert out.read_text().split() == ["0039", "0038"]
