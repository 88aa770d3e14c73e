"""`selector.like`, the selector that a selector copies: named, with options, as a preset; in records and reruns."""

from __future__ import annotations

import json

MATCHED = ("selector=random", "selector.match=length")


def record(tmp_path):
    (found,) = (tmp_path / "outputs" / "runs").glob("*/record.json")
    return json.loads(found.read_text())


def test_the_copied_pick_is_the_stage_of_its_own_run(selbench, settings, tmp_path):
    plain = [text for text in settings if not text.startswith("selector=")]
    ran = selbench(
        "-m", *plain, "selector=longest,random", "selector.random.match=length", "selector.random.like=longest"
    )
    assert ran.status == 0, ran.err
    found = [json.loads(path.read_text()) for path in (tmp_path / "outputs" / "runs").glob("*/record.json")]
    by_arm = {one["axes"]["selector"]: one for one in found}
    assert set(by_arm) == {"longest", "random like longest"}
    copied = [key for label, key in by_arm["random like longest"]["stages"].items() if label.startswith("selection/")]
    assert copied == [by_arm["longest"]["stages"]["selection"]]
    assert (
        by_arm["longest"]["selection"]["response_tokens"]
        == by_arm["random like longest"]["selection"]["response_tokens"]
    )


def test_a_preset_with_options_is_copied_and_run_again_from_its_record(selbench, settings, tmp_path):
    (tmp_path / "presets" / "selector").mkdir(parents=True)
    preset = tmp_path / "presets" / "selector" / "small.yaml"
    preset.write_text("defaults: [kcenter_tfidf, _self_]\ndimension: 8\nfirst: '3'\n")
    plain = [text for text in settings if not text.startswith("selector=")]
    where = ["--config-dir", str(tmp_path / "presets")]
    ran = selbench(*where, *plain, *MATCHED, "selector.like={name:small,metric:euclidean}")
    assert ran.status == 0, ran.err
    made = record(tmp_path)
    like = made["config"]["selector"]["like"]
    assert (like["name"], like["dimension"], like["first"], like["metric"]) == ("kcenter", 8, "3", "euclidean")
    assert made["axes"]["selector"] == "random like kcenter_tfidf(dimension=8,metric=euclidean,first=3)"
    preset.unlink()
    again = selbench("rerun", made["key"], "--outputs", str(tmp_path / "outputs"))
    assert again.status == 0, again.out + again.err


def test_what_cannot_be_copied_is_said_in_a_sentence(selbench, settings):
    plain = [text for text in settings if not text.startswith("selector=")]
    for like, said in (
        ("longst", "Did you mean 'longest'?"),
        ("{layers:all}", "its name, or with options"),
        ("{name:mads,layrs:all}", "Did you mean"),
        ("base", "takes no budget"),
        ("full", "takes no budget"),
        ("[longest]", "its name, or with options"),
    ):
        refused = selbench(*plain, *MATCHED, f"selector.like={like}")
        assert refused.status == 2 and said in refused.err and "Traceback" not in refused.err, (like, refused.err)
