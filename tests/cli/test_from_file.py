"""`selector=from_file` from the command line: the arm, its warnings, and what is refused before any cell."""

from __future__ import annotations

import json

import pytest
from helpers.recorded import records


@pytest.fixture
def plain(settings):
    return [text for text in settings if not text.startswith("selector=")]


def test_a_list_that_fits_in_part_is_an_arm_that_stops_short(selbench, plain, tmp_path):
    rows = [{"instruction": f"Say {i}", "output": " ".join(["word"] * (i + 1))} for i in (7, 3, 50)]
    (tmp_path / "core.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("-m", "selector=from_file", f"selector.from_file.file={tmp_path / 'core.jsonl'}", "budget=all,1")
    for verb in (["plan"], []):
        ran = selbench(*verb, *plain, *options)
        assert ran.status == 0, ran.err
        assert ran.err.count("1 of its 3 rows name no example of pool") == 1 and "line 3 ('Say 50')" in ran.err
    found = {str(one["axes"]["budget"]): one for one in records(tmp_path / "outputs")}
    assert {budget: one["selection"]["examples"] for budget, one in found.items()} == {"1.0": 2, "1": 1}
    assert {one["axes"]["selector"] for one in found.values()} == {"from_file core"}
    again = selbench("rerun", found["1"]["key"], "--outputs", str(tmp_path / "outputs"))
    assert again.status == 0, again.out + again.err


def test_another_content_of_the_file_is_another_run(selbench, plain, tmp_path):
    path = tmp_path / "core.txt"
    for text in ("0003\n", "0004\n"):
        path.write_text(text)
        assert selbench(*plain, "selector=from_file", f"selector.file={path}", "budget=all").status == 0
    assert len(records(tmp_path / "outputs")) == 2


@pytest.mark.parametrize("verb", [[], ["plan"]], ids=str)
@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("selector.order=best", "selector.from_file.order=best: "),
        ("selector.match=id", "Did you mean 'ids'?"),
        ("selector.match=texts", "has no columns"),
        ("selector.file=nowhere.txt", "cannot be read: No such file"),
        ("selector.file=''", "has no file: set selector.from_file.file=FILE"),
        ("pool.limit=3", "none of its 1 row names an example of pool"),
    ],
)
def test_mistakes_are_refused_before_any_cell(selbench, plain, tmp_path, verb, option, says):
    (tmp_path / "core.txt").write_text("0003\n")
    named = [f"selector.file={tmp_path / 'core.txt'}"] if not option.startswith("selector.file") else []
    ran = selbench(*verb, *plain, "selector=from_file", *named, option, "budget=all")
    assert ran.status == 2 and says in ran.err and "Traceback" not in ran.err, ran.err
    assert not (tmp_path / "outputs" / "runs").exists()
