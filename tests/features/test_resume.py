"""An interrupted pass over a pool is resumed from its checkpoint, and the features have the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.tiny_models import make_model, make_pool

from selbench.api import Context, ModelRef
from selbench.features import extractor, forward, resume
from selbench.features.activations import ActivationTags, PooledActivations
from selbench.features.directions import Directions, Projections
from selbench.features.sae import SparseAutoencoder
from selbench.features.sae_tags import SaeTags


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> ModelRef:
    return make_model(tmp_path_factory.mktemp("llama"))


def test_an_interrupted_pass_is_resumed(scorer, tmp_path, monkeypatch):
    monkeypatch.setattr(extractor, "batch_tokens", lambda model: 64)
    pool = make_pool(30)
    plain = Context(pool, scorer=scorer)
    directions = Directions(layers="all").compute(pool, plain)["directions"]
    specs = [
        PooledActivations("resid", "all", response=True),
        ActivationTags(response=True, level=0.1),
        Projections(directions[None], response=True),
        SaeTags(SparseAutoencoder(latents=32, k=4, tokens=500)).bound(pool, plain),
    ]
    expected = extractor.compute_many(specs, pool, plain)

    monkeypatch.setattr(resume, "EVERY_S", 0.0)
    monkeypatch.setattr(resume, "SHARE", 0.0)
    read_on, seen = forward.read_activations, []

    def until_killed(model, texts, batches, readings):
        for number, found in enumerate(read_on(model, texts, batches, readings)):
            if number == 2:
                raise KeyboardInterrupt
            yield found

    def counting(model, texts, batches, readings):
        for found in read_on(model, texts, batches, readings):
            seen.append(found[0])
            yield found

    context = Context(pool, scorer=scorer, checkpoint=tmp_path)
    monkeypatch.setattr(extractor, "read_activations", until_killed)
    with pytest.raises(KeyboardInterrupt):
        extractor.compute_many(specs, pool, context)
    monkeypatch.setattr(extractor, "read_activations", counting)
    again = extractor.compute_many(specs, pool, context)
    assert len(seen) > 0 and sum(map(len, seen)) < len(pool)
    for one, other in zip(expected, again):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)
