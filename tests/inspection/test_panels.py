"""`selbench inspect`: its files agree with the selection, and panels that do not apply are named with a reason."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from selbench.api import UserError
from selbench.inspection.figures import bin_edges
from selbench.inspection.panels import PANELS, write_panels
from selbench.inspection.view import View

POOL = ["pool=planted", "pool.size=120", "scorer=planted-1m", "budget=30"]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


def inspect(outputs: Path, name: str, *settings: str) -> tuple[View, Path, dict[str, str]]:
    """The view, the folder with its files, and the panels that were left out (name -> why)."""
    from selbench.config.runs import compose_run
    from selbench.config.schemas import register
    from selbench.inspection.of_run import view_of
    from selbench.plugins import discover

    registry = discover([])
    register(registry)
    view, _ = view_of(compose_run([*POOL, f"output_dir={outputs}", *settings], registry))
    written, left_out = write_panels(view, outputs / name)
    assert len(written) + len(left_out) == len(PANELS)
    for files, about in written:
        assert about and all((outputs / name / file).stat().st_size > 0 for file in files)
    return view, outputs / name, left_out


@pytest.fixture(scope="module")
def mads(outputs: Path) -> tuple[View, Path, dict[str, str]]:
    return inspect(outputs, "mads", "selector=mads", "selector.layers=all")


def test_every_panel_applies_to_tags_over_the_planted_pool(mads):
    _, folder, left_out = mads
    assert left_out == {"targets": "this selector has no directions of several targets"}
    pictures = {path.stem for path in folder.glob("*.png")}
    assert pictures == set(PANELS) - {"neighbours", "targets"} and (folder / "neighbours.md").is_file()
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.glob("*.png"))
    assert {path.stem for path in folder.glob("*.csv")} == set(PANELS) - {"targets"}


def test_the_data_are_those_of_the_selection(mads):
    view, folder, _ = mads
    chosen = [view.ids[i] for i in view.order]
    table = {name: pd.read_csv(folder / f"{name}.csv") for name in PANELS if name != "targets"}

    composed = table["composition"]
    skills = composed[composed["kind"] == "skill"]
    assert skills["selected_count"].sum() == 30 and skills["pool_count"].sum() == 120
    counted = Counter(view.categories[i] for i in view.order)
    assert dict(zip(skills["value"], skills["selected_count"])) == {name: counted[name] for name in skills["value"]}
    faults = composed[composed["kind"] == "fault"].set_index("value")
    assert faults.loc["corrupted", "selected_count"] == sum(view.labels[i]["corrupted"] for i in view.order)
    assert faults.loc["repeats another", "pool_count"] == sum(bool(row["duplicate_of"]) for row in view.labels)

    assert list(table["coverage"]["id"]) == list(table["scores"]["id"]) == chosen
    assert table["coverage"]["coverage"].is_monotonic_increasing
    lengths = table["lengths"]
    assert list(lengths[lengths["rank"] > 0].sort_values("rank")["id"]) == chosen
    assert list(lengths["prompt_characters"]) == [len(text) for text in view.prompts]
    assert set(table["tag_pca"].query("selected == 1")["id"]) == set(chosen)


def test_tag_panels_count_what_a_dense_matrix_counts(mads):
    view, folder, _ = mads
    dense = view.tags.toarray().astype(float)
    layers = pd.read_csv(folder / "neurons.csv")
    per_layer = dense.reshape(len(view), len(layers), -1).mean(2)
    np.testing.assert_allclose(layers["pool_mean"], per_layer.mean(0))
    np.testing.assert_allclose(layers["pool_mean"], view.tag_feature["on_share"])
    np.testing.assert_allclose(layers["selected_mean"], per_layer[view.order].mean(0))

    frequency = pd.read_csv(folder / "tag_frequency.csv")
    assert list(frequency["pool"]) == list(dense.sum(0)[frequency["tag"]])
    assert list(frequency["selected"]) == list(dense[view.order].sum(0)[frequency["tag"]])

    shared = pd.read_csv(folder / "shared_tags.csv", index_col=0)
    first, second = shared.columns[:2]
    a, b = (np.flatnonzero(np.array(view.categories) == name) for name in (first, second))
    assert shared.loc[first, second] == pytest.approx(np.mean([dense[i] @ dense[j] for i in a for j in b]))
    assert shared.loc[first, first] == pytest.approx(np.mean([dense[i] @ dense[j] for i in a for j in a if i != j]))


def test_neighbours_are_the_most_similar(mads):
    view, folder, _ = mads
    dense = view.tags.toarray().astype(bool)
    rows = pd.read_csv(folder / "neighbours.csv").query("neighbour == 1")
    assert (rows["rank"] > 0).sum() in (3, 4) and (rows["rank"] == 0).any()
    for _, row in rows.iterrows():
        place = view.ids.index(row["id"])
        alike = [
            (dense[place] & other).sum() / max((dense[place] | other).sum(), 1) if i != place else 0
            for i, other in enumerate(dense)
        ]
        assert row["similarity"] == pytest.approx(max(alike))


def test_panels_without_tags_are_left_out_and_old_files_removed(outputs):
    (outputs / "longest").mkdir()
    (outputs / "longest" / "tag_pca.png").write_text("of an earlier inspection")
    _, folder, left_out = inspect(outputs, "longest", "selector=longest", "selector.unit=characters")
    assert set(left_out) == {"neurons", "tag_frequency", "shared_tags", "tag_pca", "coverage", "targets"}
    assert left_out["tag_pca"] == "this selector uses no tags" and not (folder / "tag_pca.png").exists()
    # Numbers of characters are not stored, so only the scores of the selected examples are known.
    assert len(pd.read_csv(folder / "scores.csv")) == 30


def test_scores_of_the_whole_pool_are_found_if_they_were_stored(outputs):
    _, folder, _ = inspect(outputs, "tokens", "selector=longest")
    scores = pd.read_csv(folder / "scores.csv")
    assert len(scores) == 120 and (scores["rank"] > 0).sum() == 30
    assert scores.loc[scores["rank"] > 0, "score"].min() >= scores.loc[scores["rank"] == 0, "score"].max()


def test_a_bare_view_has_lengths_and_neighbours_only(tmp_path):
    view = View("bare", ["a", "b", "c"], ["one", "two words", ""], ["x", "", "y"], np.array([1, 0, 1]), np.array([2]))
    written, left_out = write_panels(view, tmp_path)
    assert [files[0] for files, _ in written] == ["lengths.png", "neighbours.md"]
    assert all(len(reason.splitlines()) == 1 for reason in left_out.values())


def test_the_verb_prints_what_it_wrote_and_refuses_in_a_sentence(outputs, capfd):
    from selbench.cli.inspect import main

    assert main(["--out", str(outputs / "verb"), *POOL, "selector=longest", f"output_dir={outputs}"]) == 0
    told = capfd.readouterr().out
    assert "lengths.png  lengths.csv" in told and "left out: coverage" in told
    with pytest.raises(UserError, match="nothing to inspect"):
        main([*POOL, "selector=base", f"output_dir={outputs}"])
    with pytest.raises(UserError, match="selector 'madz'"):
        main([*POOL, "selector=madz", f"output_dir={outputs}"])


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom selbench.cli.inspect import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'matplotlib', 'pandas', 'hydra', 'sklearn') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "values", [[3], [1, 2, 3], [0, 5, 1000, 2, 1, 1], [0.5, 1e6, 0.2], [-4, 9.5], list(range(500)), [np.nan]]
)
def test_bins_hold_every_value(values):
    edges = bin_edges(np.array(values))
    assert (np.diff(edges) > 0).all() and len(edges) <= 43
    finite = np.array(values)[np.isfinite(values)]
    assert np.histogram(np.clip(finite, edges[0], edges[-1]), edges)[0].sum() == len(finite)


def test_the_agreement_of_targets_is_a_table_by_layer(outputs):
    data = outputs / "target.jsonl"
    data.write_text("".join(f'{{"instruction": "count to {i}", "output": "{"1 " * i}"}}\n' for i in range(1, 9)))
    settings = ["selector=nait", "target=[planted,file]", f"target.file.path={data}", "target.planted.size=40"]
    view, folder, left_out = inspect(outputs, "nait", *settings)
    assert "targets" not in left_out and (folder / "targets.png").is_file()
    table = pd.read_csv(folder / "targets.csv")
    cosines = view.diagnostics["direction_cosines"]
    assert set(zip(table["target"], table["other"])) == {("file", "planted")}
    np.testing.assert_allclose(table["cosine"], cosines[0, 1])
    assert table["layer"].tolist() == [0, 1, 2, 3]
    assert np.abs(table["cosine"]).max() <= 1 + 1e-9
