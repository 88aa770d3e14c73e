"""What the two selectors over a sparse autoencoder share: their source, their options, and figures about their tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from selbench.api import Context, Feature
from selbench.parts.sae_options import SaeOptions

__all__ = ["FIDELITY", "PAPER", "SaeOptions", "tag_facts"]

PAPER = "arXiv:2502.14050"
FIDELITY = "re-implemented from the abstract"


def tag_facts(tags: Feature, context: Context) -> Mapping[str, Any]:
    """Figures about the tags, all named `sae_...`: logged to the record, and returned for the selection's diagnostics.

    `tags` is the feature of `SaeTags`. A figure that it does not hold, as those of the training of a published
    autoencoder, is left out, and so is an undefined correlation with length.
    """
    sizes = np.diff(tags["indptr"])
    facts = {name: float(tags[name]) for name in ("theta", "fvu", "l0", "dead_share") if name in tags}
    facts |= {"active_per_example": float(sizes.mean()), "without_active": int((sizes == 0).sum())}
    if np.isfinite(tags["length_correlation"]):
        facts["length_correlation"] = float(tags["length_correlation"])
    context.log(**{f"sae_{name}": value for name, value in facts.items()})
    return {f"sae_{name}": value for name, value in facts.items()}
