"""Names of layers: middle, all, last, stride:2, middle_third, or a list such as 1,8,15."""

from __future__ import annotations

from selbench.errors import UserError


def resolve_layers(layers: str, depth: int) -> list[int]:
    """0-based numbers, in ascending order, of the blocks that `layers` names in a decoder of `depth` blocks.

    - middle: block floor(depth / 2)
    - middle_third: blocks floor(depth / 3) to ceil(2 depth / 3) - 1
    - stride:s: blocks 0, s, 2s, ...
    - a list such as 1,8,-1: blocks counted from 0, or from the end if negative

    Raises UserError for a name that is not one of these, or for a block that the decoder does not have.
    """
    named = {
        "middle": [depth // 2],
        "all": list(range(depth)),
        "last": [depth - 1],
        "middle_third": list(range(depth // 3, -(-2 * depth // 3))),
    }
    if layers in named:
        return named[layers]
    try:
        if layers.startswith("stride:"):
            step = int(layers.removeprefix("stride:"))  # range() raises ValueError for a step of 0
            chosen = list(range(0, depth, step))
        else:
            chosen = [int(part) for part in layers.split(",")]
    except ValueError:
        raise UserError(
            f"layers='{layers}' is not understood. Valid: middle, all, last, middle_third, stride:2, or a list: 1,8,15."
        ) from None
    outside = [layer for layer in chosen if not -depth <= layer < depth]
    if outside or not chosen:
        raise UserError(f"layers='{layers}': the model has blocks 0 to {depth - 1}, but not {outside or 'none'}.")
    return sorted({layer % depth for layer in chosen})
