"""A selector in two parts: a space, which says what examples look like, and a rule, which chooses by that.

A space gives one or more views of the pool: `vectors` (N x d), `tags` (a sparse binary matrix) and `scores` (N numbers). A
rule takes one view. So a rule goes with every space that gives its view.

Parts are dataclasses whose fields are their options, as plugins are. They are named by `selector.space=` and
`selector.rule=`; a part of one's own becomes known there when its module is imported (docs/methods/parts.md).
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from typing_extensions import dataclass_transform

from selbench import declare
from selbench.api import Budget, Context, FeatureSpec, ModelRef, Pool, Selection
from selbench.errors import PluginError, UserError, unknown

View = Literal["vectors", "tags", "scores"]
Kind = Literal["space", "rule"]

# Ours by name, imported where they are used: a selection's key holds the code of its own parts only.
OURS: Mapping[Kind, Mapping[str, str]] = {
    "space": {
        "tfidf": "tfidf_space:Tfidf",
        "encoder": "encoder_space:Encoder",
        "vectors_file": "vectors_file_space:VectorsFile",
        "hidden": "hidden_space:Hidden",
        "activation_tags": "activation_tags_space:ActivationTagsSpace",
        "sae_tags": "sae_tags_space:SaeTagsSpace",
        "tags_file": "tags_file_space:TagsFile",
        "scores_file": "scores_file_space:ScoresFile",
    },
    "rule": {
        "k_center": "k_center_rule:KCenterRule",
        "facility_location": "facility_rule:FacilityLocationRule",
        "threshold_walk": "walk_rule:ThresholdWalk",
        "cluster_balanced": "clusters_rule:ClusterBalanced",
        "semantic_duplicates": "duplicates_rule:SemanticDuplicates",
        "prototypes": "prototypes_rule:Prototypes",
        "quality_diversity": "quality_rule:QualityDiversity",
        "coverage": "coverage_rule:Coverage",
        "tag_cover": "tag_cover_rule:TagCover",
        "round_robin": "round_robin_rule:RoundRobin",
        "by_score": "score_rule:ByScore",
    },
}
_others: dict[tuple[Kind, str], type] = {}

T = TypeVar("T")


class Space:
    """What examples look like. A space has a method for each view that it gives: `vectors`, `tags` or `scores`."""

    plugin_name: ClassVar[str]
    gives: ClassVar[tuple[View, ...]] = ()
    uses_scorer: bool = False
    is_random: bool = False  # depends on the run's seed

    def needs(self, seed: int) -> Sequence[FeatureSpec]:
        """The features that its views are made of; `seed` is the context's."""
        return []

    def drawn_once(self, pool: Pool, target: Mapping[str, Pool]) -> Sequence[str]:
        """What it has drawn at random once for all seeds."""
        return ()

    def check(self) -> None:
        """Raises UserError for mistakes that show before any work."""

    def check_budget(self, budget: Budget) -> None:
        """Raises UserError for what is missing of the pool whose ids the budget has."""

    def check_scorer(self, scorer: ModelRef) -> Sequence[str]:
        """Sentences that warn; raises UserError for a scorer that it cannot work with."""
        return ()


class Rule:
    """How examples are chosen from one view of a space."""

    plugin_name: ClassVar[str]
    takes: ClassVar[View]
    is_ranking: bool = True  # a smaller budget selects the beginning of what a larger one does
    is_random: bool = False  # depends on the run's seed
    stops_short: bool = False  # may select fewer examples than the budget allows

    def choose(self, space: Any, pool: Pool, budget: Budget, context: Context) -> Selection:
        """The selection from the view that it takes."""
        raise NotImplementedError

    def check(self) -> None:
        """Raises UserError for mistakes that show before any work."""

    def check_budget(self, budget: Budget) -> None:
        """Raises UserError for what is missing of the pool whose ids the budget has."""


@dataclasses.dataclass(frozen=True, eq=False)
class TagRows:
    """A sparse binary matrix: which tags each of the N examples has."""

    indptr: np.ndarray  # N + 1 integers
    indices: np.ndarray  # the distinct tags of each example, ascending within a row
    tags: int  # how many exist


@dataclass_transform(field_specifiers=(dataclasses.field,))
def space(name: str) -> Callable[[type[T]], type[T]]:
    """Mark a class as a space that is called `name` on the command line."""
    return lambda cls: _known(declare.declare(cls, "space", name, {}), "space")


@dataclass_transform(field_specifiers=(dataclasses.field,))
def rule(name: str) -> Callable[[type[T]], type[T]]:
    """Mark a class as a rule that is called `name` on the command line."""
    return lambda cls: _known(declare.declare(cls, "rule", name, {}), "rule")


def _known(cls: type[T], kind: Kind) -> type[T]:
    """Add a part of somebody's to the names. Raises PluginError for a name that another file has taken."""
    name = cls.plugin_name  # type: ignore[attr-defined]
    if cls.__module__.startswith("selbench.parts."):
        return cls
    other = _others.get((kind, name))
    if name in OURS[kind] or (other and _file(other) != _file(cls)):
        where = _file(other) if other else "selbench.parts"
        raise PluginError(f"the {kind} '{name}' is declared twice: in {where} and in {_file(cls)}; rename one.")
    _others[kind, name] = cls
    return cls


def _file(cls: type) -> str:
    try:
        return inspect.getfile(cls)
    except (OSError, TypeError):
        return cls.__module__


def part_names(kind: Kind) -> list[str]:
    """The names of all parts of a kind, sorted."""
    return sorted([*OURS[kind], *(name for its_kind, name in _others if its_kind == kind)])


def part_class(kind: Kind, name: str) -> Any:
    """The class of a part. Raises UserError for a name that there is not."""
    if found := _others.get((kind, name)):
        return found
    if name not in OURS[kind]:
        raise UserError(unknown(f"selector.{kind}", name, part_names(kind)))
    module, _, cls = OURS[kind][name].partition(":")
    return getattr(importlib.import_module(f"selbench.parts.{module}"), cls)


def made_part(kind: Kind, value: Any) -> Any:
    """The part that the value of an option names: `tfidf`, `{name: tfidf, dimension: 64}`, or the part itself.

    Raises UserError for an unknown name or option, and for a value that the option cannot have.
    """
    if getattr(value, "plugin_kind", None) == kind:
        return value
    options = dict(value) if isinstance(value, Mapping) else {"name": value}
    name = options.pop("name", None)
    if not isinstance(name, str):
        example = "{name: tfidf, dimension: 64}" if kind == "space" else "{name: by_score, take: middle}"
        raise UserError(f"selector.{kind} is a {kind}: its name, or with options {example}; not {value}.")
    cls = part_class(kind, name)
    hints = get_type_hints(cls)
    valid = {item.name for item in dataclasses.fields(cls)}
    for option in options:
        if option not in valid:
            raise UserError(unknown(f"option of {kind} '{name}':", option, valid))
    return cls(
        **{option: _typed(value, hints[option], f"{kind} '{name}'", option) for option, value in options.items()}
    )


def part_identity(part: Any) -> dict[str, Any]:
    """Name and options of a part for a key, with the content of files in place of their paths."""
    options = part.identity() if hasattr(part, "identity") else dataclasses.asdict(part)
    return {"name": part.plugin_name, **options}


def require_pair(space: Any, rule: Any, fixed: str = "") -> None:
    """Raises UserError where the space does not give the view that the rule takes; `fixed` is a selector whose rule is given."""
    if rule.takes in space.gives:
        return
    spaces = [name for name in part_names("space") if rule.takes in part_class("space", name).gives]
    rules = [name for name in part_names("rule") if part_class("rule", name).takes in space.gives]
    what = f"selector '{fixed}'" if fixed else f"rule '{rule.plugin_name}'"
    also = "" if fixed else f", or a rule by {' or '.join(space.gives)} ({', '.join(rules)})"
    raise UserError(
        f"{what} chooses by {rule.takes}, and space '{space.plugin_name}' gives {' and '.join(space.gives)}. Valid: a space of "
        f"{rule.takes} ({', '.join(spaces)}){also}."
    )


def _typed(value: Any, hint: Any, owner: str, option: str) -> Any:
    """The value as its option's type has it: of a text a number becomes its digits, of a float a whole number a float."""
    origin = get_origin(hint)
    kinds = get_args(hint) if origin in (Union, types.UnionType) else (hint,)
    if any(isinstance(value, kind) and isinstance(value, bool) == (kind is bool) for kind in kinds):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if str in kinds and number:
        return str(value)
    if float in kinds and number:
        return float(value)
    named = " or ".join(
        {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(kind, "null")
        for kind in kinds
    )
    raise UserError(f"option '{option}' of {owner}: '{value}' is not {named}.")
