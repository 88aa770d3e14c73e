"""What NAIT says of its directions: how sure their signs are, how far targets agree, how scores go with length."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from selbench.api import Context, Feature

log = logging.getLogger("selbench")

# The sign of a direction counts as determined if the mean drift along it is at least this many standard errors from 0.
SURE = 2.0


def log_reliability(
    found: Mapping[str, Feature], scores: np.ndarray, tokens: np.ndarray, cut: np.ndarray, context: Context
) -> None:
    """Log how well the data determine the directions' signs, and how scores correlate with length.

    Warns of targets for which a sign is undetermined or rests on the first token, or a layer has no principal component.

    Args:
        found: capability -> feature of `Directions`.
        scores: C x N, in the order of `found`.
        tokens: N integers, the tokens of each example.
        cut: N booleans, the examples that are not read to their end.
    """
    for (name, feature), row in zip(found.items(), scores):
        alignment, layers = float(feature["alignment"].min()), len(feature["layers"])
        unsure = int((feature["margin"] < SURE).any(1).sum())
        differing = int(feature["sign_differs"].any(1).sum())
        flat = int((feature["explained"] == 0).sum())
        numbers = {
            "sign_alignment": alignment,
            "sign_undetermined_layers": unsure,
            "sign_differs_layers": differing,
            **_length_correlations(row, tokens, cut),
        }
        context.log(**{key if len(found) == 1 else f"{key}_{name}": value for key, value in numbers.items()})
        if differing:
            log.warning(
                f"nait: target '{name}': in {differing} of {layers} layers the direction points the other way if the first "
                f"token counts for its sign (sign=drift) than if it does not (sign=without_first); docs/methods/nait.md."
            )
        if unsure:
            log.warning(
                f"nait: target '{name}': in {unsure} of {layers} layers the sign of the direction is undetermined "
                f"(smallest |mean . v| / (|mean| |v|): {alignment:.2g}); other target examples might reverse it."
            )
        if flat:
            log.warning(
                f"nait: target '{name}': in {flat} of {layers} layers the target examples do not differ and so have no "
                f"principal component; the direction of their mean drift stands in for it."
            )


def _length_correlations(row: np.ndarray, tokens: np.ndarray, cut: np.ndarray) -> dict[str, float]:
    """Pearson's r of N scores with the lengths of texts; where some are cut, also over the others alone."""
    of = {"length_correlation": np.ones(len(row), bool)}
    if cut.any():
        of["length_correlation_uncut"] = ~cut
    return {
        name: float(np.corrcoef(row[kept], tokens[kept])[0, 1])
        for name, kept in of.items()
        if kept.sum() > 1 and tokens[kept].std() > 0 and rows_that_differ(row[None, kept])[0]
    }


def log_agreement(names: Sequence[str], agreement: np.ndarray) -> None:
    """Say how far the directions of each two targets agree: the mean over layers of `agreement` (C x C x layers)."""
    for one, other in combinations(range(len(names)), 2):
        values = agreement[one, other]
        log.info(
            f"nait: the directions of targets '{names[one]}' and '{names[other]}' have a mean cosine of "
            f"{values.mean():+.2f} (by layer: {', '.join(f'{value:+.2f}' for value in values)})."
        )


def rows_that_differ(rows: np.ndarray) -> np.ndarray:
    """C booleans: whether the values of a row (C x N) differ by more than the rounding error of float32 activations."""
    differ: np.ndarray = rows.std(1) > np.finfo(np.float32).eps * np.abs(rows).max(1)
    return differ
