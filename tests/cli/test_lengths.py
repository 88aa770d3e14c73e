"""What does not fit into the training context is told everywhere: while it runs, by plan, show, board and page."""

from __future__ import annotations

import csv
import json

import pytest
from helpers.recorded import records
from helpers.toy_runs import toy_settings

SHORT = "model.max_length=40"


@pytest.fixture
def swept(selbench, settings, tmp_path):
    """A sweep by a trainer that says nothing of lengths, at a context that is too short for the longer half."""
    ran = selbench("-m", *settings, "selector=random,longest", "budget=0.25", SHORT)
    assert ran.status == 0, ran.err
    return ran, tmp_path / "outputs"


def test_the_record_holds_typed_facts_whoever_the_trainer_is(swept):
    ran, outputs = swept
    facts = {record["axes"]["selector"]: record["training"] for record in records(outputs)}
    longest = facts["longest"]
    assert (longest["selected"], longest["cut"], longest["context"]) == (10, 10, 40)
    assert longest["limit"] == "model.max_length" and longest["template"] == "alpaca"
    assert longest["response_tokens_kept"] < longest["response_tokens"] == sum(range(31, 41)) + 10
    assert longest["response_tokens_trained"] is None  # the trainer does not say
    assert "cuts 10 of 10 examples" in ran.err.replace("\n", " ")


def test_the_board_shows_and_warns(swept, selbench):
    ran, outputs = swept
    told = " ".join(ran.err.split())
    assert "longest has 10 of 10 examples cut" in told
    (path,) = outputs.glob("reports/*.csv")
    rows = {row["selector"]: row for row in csv.DictReader(path.open())}
    assert float(rows["longest"]["cut"]) == 10 and float(rows["longest"]["tokens_lost"]) > 0.5
    assert "cut" in path.with_suffix(".md").read_text()
    page = path.with_suffix(".html").read_text()
    assert "longer than the training context" in page and "examples cut" in page


def test_show_says_what_was_cut(swept, selbench):
    _, outputs = swept
    (record,) = [one for one in records(outputs) if one["axes"]["selector"] == "longest"]
    shown = selbench("show", record["key"], "--outputs", str(outputs)).out
    assert "selected 10  trained 10  cut 10  dropped 0" in shown
    assert "a training context of 40 tokens (model.max_length; template alpaca) cuts 10 of 10 examples" in shown
    assert json.loads(selbench("show", record["key"], "--outputs", str(outputs), "--json").out)["training"]["cut"] == 10


def test_plan_says_it_before_anything_runs(selbench, settings, tmp_path):
    ran = selbench("plan", "-m", *settings, "selector=base,random,longest", "budget=0.25", SHORT)
    told = " ".join(ran.err.split())
    assert "toy on pool" in told and "a training context of 40 tokens (model.max_length; template alpaca) cuts" in told
    assert (
        "of 40 examples" in told
        and "Measured on the whole pool; use a shorter template (model.template=plain), or raise model.max_length."
        in told
    )
    assert not (tmp_path / "outputs").exists()
    assert "training context" not in selbench("plan", *settings).err  # everything fits
    assert "training context" not in selbench("plan", *settings, "selector=base", SHORT).err  # nothing is trained


def test_plan_knows_a_selection_that_is_made(swept, selbench, toy_model, toy_pool):
    _, outputs = swept
    again = toy_settings(toy_model, toy_pool, outputs)
    ran = selbench("plan", *again, "selector=longest", "budget=0.25", SHORT, "trainer.crash=true")
    assert "longest 25% toy s0: a training context of 40 tokens" in " ".join(ran.err.split())


def test_a_trainer_may_only_lower_the_context(selbench, settings, tmp_path):
    for verb in ([], ["plan"]):
        ran = selbench(*verb, *settings, "trainer=trl", "trainer.max_length=4096")
        assert ran.status == 2
        assert "trainer.max_length=4096 is above model.max_length=2048" in " ".join(ran.err.split())
    assert not (tmp_path / "outputs" / "runs").exists()
    untuned = selbench("plan", *settings, "trainer=trl", "trainer.max_length=4096", "selector=base")
    assert untuned.status == 0, untuned.err  # nothing is trained


def test_items_without_a_score_are_counted_and_told(selbench, settings, tmp_path):
    """By the suite, and where it keeps silent from what it says its items are."""
    toys = [one for one in settings if not one.startswith("suite")]
    ran = selbench("-m", *toys, "suite=[forgetful_suite]", "selector=random")
    told = " ".join(ran.err.split())
    assert "2 of 5 items are left out of the score and 1 of 5 items are cut" in told
    assert "2 test items are left out of the score; 1 test items are cut" in told  # the board
    (record,) = records(tmp_path / "outputs")
    (row,) = record["scores"]
    assert (row["items"], row["left_out"], row["cut"]) == (3, 2, 1)
    shown = selbench("show", record["key"], "--outputs", str(tmp_path / "outputs")).out
    assert "forgetful_suite, toy: 2 of 5 items are left out" in shown
    (page,) = (tmp_path / "outputs").glob("reports/*.html")
    assert "Items left out" in page.read_text()


def test_a_suite_that_miscounts_is_refused(selbench, settings):
    toys = [one for one in settings if not one.startswith("suite")]
    ran = selbench(*toys, "suite=[miscounting_suite]", "selector=random")
    assert ran.status == 1 and "left_out of task 'toy' must be a number of items" in " ".join(ran.err.split())


TEMPLATE = """{% for message in messages %}<{{ message.role }}>{{ message.content }}</s>{% endfor %}
{%- if add_generation_prompt %}<assistant>{% endif %}"""


def test_a_template_without_a_preamble_and_one_from_a_file(selbench, settings, tmp_path):
    """Both leave room for the responses that Alpaca's preamble takes; a file counts by its content."""
    path = tmp_path / "short.jinja"
    path.write_text(TEMPLATE)
    grid = ["-m", *settings, "selector=longest", "budget=0.25", "model.max_length=55"]
    for template in ("alpaca", "plain", str(path)):
        ran = selbench(*grid, f"model.template={template}")
        assert ran.status == 0, ran.err
    made = {record["training"]["template"]: record for record in records(tmp_path / "outputs")}
    assert set(made) == {"alpaca", "plain", "short.jinja"}
    assert {name: record["training"]["cut"] for name, record in made.items()} == {
        "alpaca": 10,
        "plain": 0,
        "short.jinja": 0,
    }
    assert len({record["key"] for record in made.values()}) == 3

    moved = path.rename(tmp_path / "moved.jinja")
    again = selbench(*grid, f"model.template={moved}")
    assert "1 shared or already done" in " ".join(again.err.split())  # the same text elsewhere
    moved.write_text(TEMPLATE.replace("</s>", " </s>"))
    assert selbench(*grid, f"model.template={moved}").status == 0
    assert len(records(tmp_path / "outputs")) == 4


@pytest.mark.parametrize(
    "text, told",
    [
        (None, "does not exist"),
        ("{% for %}", "is no chat template: TemplateSyntaxError"),
        ("{{ messages[0].content }}", "leaves out what is asked or answered"),
        (
            "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}Answer:{% endif %}",
            "cannot be trained with",
        ),
    ],
)
def test_a_template_that_cannot_serve_is_refused_before_any_work(selbench, settings, tmp_path, text, told):
    path = tmp_path / "mine.jinja"
    if text is not None:
        path.write_text(text)
    for verb in ([], ["plan"]):
        ran = selbench(*verb, *settings, f"model.template={path}")
        assert ran.status == 2 and told in " ".join(ran.err.split())
    unknown = selbench(*settings, "model.template=alpakka")
    assert unknown.status == 2
    assert "Valid: auto, chat, alpaca, plain, or a file" in " ".join(unknown.err.split())
    assert not (tmp_path / "outputs" / "runs").exists()
