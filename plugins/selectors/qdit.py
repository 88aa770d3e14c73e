"""QDIT: facility location and quality, mixed."""

import json
from pathlib import Path
from typing import Any

from selbench.api import Example, Pool, selector
from selbench.parts.over_space import OverSpace, part_option
from selbench.parts.quality_rule import QualityDiversity


@selector(
    "qdit",
    paper="Bukharin et al. 2024 (QDIT), arXiv 2311.14736",
    fidelity="from the paper as remembered; no official code was read",
)
class Qdit(OverSpace, QualityDiversity):
    """Greedy by (1 - alpha) * facility-location gain + alpha * quality.

    From the paper, as remembered: the mixture, greedy, with a reward model's score as quality and the cosine of sentence
    embeddings as similarity.
    Ours: the quality comes from a file (`scores=FILE`); the gain is divided by the largest gain of a first pick, and the quality
    is scaled from the pool's least to its most, so that alpha is a share. See docs/methods/diversity.md.

    Options:
        space: where the vectors come from, as in `parts`: encoder, tfidf, hidden, vectors_file, or tags.
    """

    space: Any = part_option("space", "encoder")

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: TF-IDF, and scores of the examples of `check_pool` and of the checks' own same0 to same8."""
        ids = [*(f"q{i}" for i in range(200)), *(f"same{i}" for i in range(9))]
        rows = [json.dumps({"id": id, "score": (7 * i * i + 3 * i) % 101}) for i, id in enumerate(ids)]
        (folder / "quality.jsonl").write_text("\n".join(rows))
        return {"space": "tfidf", "scores": str(folder / "quality.jsonl")}

    def check_pool(self, size: int, seed: int) -> Pool:
        """At most `size` examples, of which there are scores."""
        words = ["red", "tree", "river", "blue", "one", "two", "three", "green", "add", "name", "say", "longer"]
        said = [
            (words[(i + seed) % 12], words[(5 * i + seed // 3) % 12], words[i // 4 % 12]) for i in range(min(size, 200))
        ]
        return Pool(
            [Example(f"q{i}", f"{a} the {b} {c}", f"{b} and {c} " * (1 + i % 5)) for i, (a, b, c) in enumerate(said)],
            "quality",
        )
