"""One run: select, check for leaks, train and evaluate, each a cached stage, and the record of it all."""
