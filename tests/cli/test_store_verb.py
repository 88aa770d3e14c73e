"""`selbench store`: listing, checking, cleaning."""

from __future__ import annotations

import pytest


@pytest.fixture
def outputs(selbench, settings, tmp_path):
    assert selbench(*settings).status == 0
    return tmp_path / "outputs"


def test_what_records_rest_on_stays_and_the_rest_goes(selbench, outputs, settings):
    spare = outputs / "store" / "features" / "0123456789"
    spare.mkdir(parents=True)
    (outputs / "store" / "selection" / ".x-4.killed").mkdir()
    listed = selbench("store", "ls", "--outputs", str(outputs))
    assert listed.status == 0 and "selection" in listed.out and "made from" in listed.out
    assert "no record rests on 2 of them" in listed.err
    assert "would delete" in selbench("store", "gc", "--outputs", str(outputs), "--dry-run").err
    assert spare.is_dir()
    cleaned = selbench("store", "gc", "--outputs", str(outputs))
    assert cleaned.status == 0 and not spare.exists()
    assert "records rest on all of them" in selbench("store", "ls", "--outputs", str(outputs)).err
    assert not (outputs / "store" / "selection" / ".x-4.killed").exists()
    before = (outputs / "store" / "executed.jsonl").read_text()
    assert selbench(*settings, "comparison=other", "reuse=verify").status == 0
    assert (outputs / "store" / "executed.jsonl").read_text() == before  # all that a record rests on is there
    assert selbench("store", "verify", "--outputs", str(outputs)).status == 0


def test_verify_names_what_is_damaged(selbench, outputs):
    (chosen,) = (outputs / "store" / "selection").glob("*/selection.json")
    chosen.write_text(chosen.read_text() + " ")
    (items,) = (outputs / "runs").glob("*/items.parquet")
    items.unlink()
    ran = selbench("store", "verify", "--outputs", str(outputs))
    assert ran.status == 1 and "2 damaged" in ran.err
    assert "selection.json has" in ran.err and "items.parquet is missing" in ran.err


def test_a_store_that_is_not_there(selbench, tmp_path):
    ran = selbench("store", "ls", "--outputs", str(tmp_path / "nowhere"))
    assert ran.status == 2 and "there is no store at" in ran.err
