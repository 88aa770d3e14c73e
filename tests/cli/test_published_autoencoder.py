"""selector.autoencoder=sae_lens:...: checked against the scorer before any cell, by runs, grids and plans."""

from __future__ import annotations

import sys

import pytest
from helpers.recorded import records
from helpers.sae_lens_parts import AUTOENCODER, REPOSITORY, install, repository
from helpers.tiny_models import make_model

OPTIONS = ("selector.threshold=absolute", "selector.level=0")
SAID = "autoencoder shared by all seeds: its luck is not in the interval."


@pytest.fixture
def lens(monkeypatch, server):
    install(monkeypatch)
    server.push(REPOSITORY, repository())
    return server


@pytest.fixture
def base(settings, tmp_path):
    """A toy run with a tiny scorer that is called as the autoencoder's model is."""
    make_model(tmp_path / "Llama-3.1-8B")
    chosen = [text for text in settings if not text.startswith("selector=")]
    return [*chosen, "scorer=local", f"scorer.path={tmp_path / 'Llama-3.1-8B'}", "budget=4"]


def test_a_grid_runs_with_it_and_says_that_it_is_shared(selbench, base, lens, tmp_path):
    grid = [
        "-m",
        *base,
        "selector=random,sae_simscale,sae_greedselect",
        f"selector.autoencoder={AUTOENCODER}",
        *OPTIONS,
    ]
    plan = selbench("plan", *grid, "seed=0,1")
    assert plan.status == 0 and "autoencoder" not in plan.err, plan.err
    ran = selbench(*grid, "seed=0,1")
    assert ran.status == 0, ran.err
    (said,) = (line for line in ran.out.splitlines() if SAID in line)
    assert "sae_simscale" in said and "sae_greedselect" in said and "random" not in said
    with_it = [one for one in records(tmp_path / "outputs") if one["axes"]["selector"] != "random"]
    commit = lens.commits["model", REPOSITORY][-1][0]
    assert all(REPOSITORY in [row["name"] for row in one["hub"]] for one in with_it), [one["hub"] for one in with_it]
    assert {row["commit"] for one in with_it for row in one["hub"]} == {commit}
    assert len({one["stages"]["selection"] for one in with_it}) == 2  # one for each selector, none for each seed


@pytest.mark.parametrize(
    "verb", [["plan"], *(pytest.param(v, marks=pytest.mark.slow) for v in (["-m"], ["plan", "-m"], []))], ids=" ".join
)
def test_what_does_not_fit_is_refused_before_any_cell(selbench, base, lens, tmp_path, verb):
    chosen = "selector=random,sae_simscale" if "-m" in verb else "selector=sae_simscale"

    def refused(*more, autoencoder=AUTOENCODER):
        ran = selbench(*verb, *base, chosen, f"selector.autoencoder={autoencoder}", *OPTIONS, *more)
        assert ran.status == 2 and "Traceback" not in ran.err, ran.err
        assert not list((tmp_path / "outputs").glob("runs/*"))
        return ran.err

    make_model(tmp_path / "Mistral-7B-v0.1")
    other = f"scorer.path={tmp_path / 'Mistral-7B-v0.1'}"
    assert "selector.autoencoder_fits=true" in refused(other, "scorer.name=mistral")
    assert "block 2, but selector.layer=0 is block 0" in refused("selector.layer=0")
    assert "has no autoencoder 'l31r'" in refused(autoencoder="sae_lens:llama_scope_lxr_32x:l31r")
    assert "for training an autoencoder" in refused("selector.sae_seed=0")
    lens.push(REPOSITORY, repository(width=32))
    from selbench.data.commits import forget_commits

    forget_commits()
    assert "width 32, but scorer" in refused()
    lens.push(REPOSITORY, repository(hook="blocks.2.hook_mlp_out"))
    forget_commits()
    assert "'blocks.2.hook_mlp_out', which is not the output of a block" in refused()


def test_without_sae_lens_the_extra_is_named(selbench, base, monkeypatch, server):
    monkeypatch.setitem(sys.modules, "sae_lens", None)
    # What a selector copies is checked as well.
    like = f"selector.like={{name:sae_simscale,autoencoder:'{AUTOENCODER}',threshold:absolute,level:0}}"
    for arm in (
        ["selector=sae_simscale", f"selector.autoencoder={AUTOENCODER}", *OPTIONS],
        ["selector=random", "selector.match=length", like],
    ):
        ran = selbench(*base, *arm)
        assert ran.status == 2 and "pip install 'selbench[sae]'" in ran.err and "Traceback" not in ran.err
        plan = selbench("plan", *base, *arm)
        assert plan.status == 0 and "pip install 'selbench[sae]'" in plan.out.partition("Needed before a run")[2]


def test_a_tuned_relative_is_warned_of_once_in_a_grid(selbench, base, lens, tmp_path):
    make_model(tmp_path / "Llama-3.1-8B-Instruct")
    plan = selbench(
        *[
            "plan",
            "-m",
            *base,
            "selector=sae_simscale,sae_greedselect",
            f"selector.autoencoder={AUTOENCODER}",
            *OPTIONS,
        ],
        *["seed=0,1", f"scorer.path={tmp_path / 'Llama-3.1-8B-Instruct'}"],
    )
    assert plan.status == 0 and plan.err.count("tuned otherwise") == 1, plan.err
    claimed = selbench(
        *["plan", *base, "selector=sae_simscale", f"selector.autoencoder={AUTOENCODER}", *OPTIONS],
        *[f"scorer.path={tmp_path / 'Llama-3.1-8B'}", "selector.autoencoder_fits=true"],
    )
    assert claimed.status == 0
    idle = selbench("plan", *base, "selector=sae_simscale", "selector.autoencoder_fits=true")
    assert idle.status == 2 and "name one with autoencoder=" in idle.err
