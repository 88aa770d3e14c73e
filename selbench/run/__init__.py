"""The three steps of a run, each a cached stage: select, train, evaluate."""
