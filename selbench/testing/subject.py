"""The plugin that checks are run on, described so that another process can build the same one."""

from __future__ import annotations

import dataclasses
import pickle
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from selbench.api import Context, Example, Feature, FeatureSpec, ModelRef, Pool
from selbench.errors import NotApplicable, UserError
from selbench.held import Part, Written, amount_word, split_amount, written, written_list
from selbench.plugins import discover
from selbench.testing.example_pools import make_pool, part_of
from selbench.testing.findings import NotTested, at_work, place_of


def default_scorer() -> ModelRef:
    """The model of one million parameters that ships with selbench: a real model, and small enough for a check."""
    path = files("selbench") / "planted" / "models" / "planted-1m"
    return ModelRef("planted-1m", str(path), template="chat", max_length=128)


@dataclass
class Subject:
    """A plugin under test, by its kind, name and options.

    Two optional methods of a plugin are for the checks alone. `check_options(folder)`, a class method, returns options
    that stand in for the defaults where those cannot be run by themselves or take long; it may write files to `folder`.
    `check_pool(size, seed)` returns a Pool of at most `size` examples to which the selector or trainer applies.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    plugin_path: Sequence[str] = ()  # folders to search for the plugin, as for a run
    # The model: a selector looks through it, a trainer fine-tunes it, a suite scores it.
    scorer: ModelRef = field(default_factory=default_scorer)
    kind: str = "selector"
    pool: Pool | None = None  # the examples to test with; None: generated ones, or the plugin's `check_pool`
    target: Mapping[str, Pool] | None = None  # the target of a targeted selector; None: generated
    remembered: dict[str, Any] = field(default_factory=dict, init=False, repr=False)  # what several checks look at

    @cached_property
    def cls(self) -> Any:
        return discover(self.plugin_path).get(self.kind, self.name).cls

    @cached_property
    def example(self) -> Any:
        """One instance, for its facts; a check that calls it builds its own."""
        return self.build()

    @cached_property
    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="selbench-check-options-")

    @cached_property
    def all_options(self) -> dict[str, Any]:
        """The options that are given, and under them those of the plugin's `check_options`.

        Raises NotTested if the plugin cannot be run without options, and says so with NotApplicable.
        """
        given = dict(self.options)
        if not hasattr(self.cls, "check_options"):
            return given
        try:
            with at_work(self.cls, "check_options", "options for the checks from check_options(folder)"):
                own = dict(self.cls.check_options(Path(self._folder.name)))
        except NotApplicable as reason:
            if given:
                return given
            raise NotTested(str(reason)) from reason
        try:
            self.made({**own, **given})
        except UserError:  # the given ones do not go with them, as a path with options of a training
            return given
        return {**own, **given}

    @property
    def replaced(self) -> dict[str, Any]:
        """The options that the plugin's `check_options` gave in place of its defaults."""
        try:
            return {name: value for name, value in self.all_options.items() if name not in self.options}
        except Exception:  # the checks have said it
            return {}

    def build(self) -> Any:
        """A new instance. Raises NotTested if it cannot be made, which the check of options says."""
        try:
            return self.made(self.all_options)
        except NotTested:
            raise
        except Exception as error:  # a stranger's __post_init__ may raise anything
            raise NotTested("it cannot be made with these options, as another check says") from error

    def made(self, options: Mapping[str, Any]) -> Any:
        """An instance, with options as on the command line: one that is a selector itself is its name, or name and options,
        or a list of these; one that is a dataclass is a mapping."""
        fields = {item.name: item for item in dataclasses.fields(self.cls)}
        return self.cls(
            **{
                name: self._as_option(fields[name], value) if name in fields else value
                for name, value in options.items()
            }
        )

    def _as_option(self, field: dataclasses.Field[Any], value: Any) -> Any:
        if field.metadata.get("plugin") == "selector":
            return self._held(written(value, f"selector.{field.name}")) if value else None
        if field.metadata.get("plugin") == "selectors":
            word, parts = amount_word(field), []
            for where, found in written_list(value, field):
                found = split_amount(found, Subject(found.name, plugin_path=self.plugin_path).cls, word, where)
                parts.append(Part(self._held(found), found.amount))
            return parts
        if isinstance(value, dict) and dataclasses.is_dataclass(field.default_factory):
            return field.default_factory(**value)
        return value

    def _held(self, found: Written) -> Any:
        return Subject(found.name, plugin_path=self.plugin_path).made(found.options)

    def place(self, method: str) -> str:
        """Where a method of the plugin is written."""
        return place_of(self.cls, method)

    def make_pool(self, size: int, seed: int = 0) -> Pool:
        """At most `size` examples to test with: of the pool that was named, of the plugin's own, or generated."""
        if self.pool is not None:
            return part_of(self.pool, size, seed)
        if hasattr(self.cls, "check_pool"):
            with at_work(self.example, "check_pool", "a Pool from check_pool(size, seed)"):
                return part_of(self.example.check_pool(size, seed), size, seed)
        return make_pool(size, seed)

    def targets(self) -> dict[str, Pool]:
        """The target examples by their capability."""
        return dict(self.target) if self.target else {"target": self.make_pool(12, seed=99)}

    def remember(self, what: str, compute: Callable[[], Any]) -> Any:
        """`compute()`, done once for all checks of this subject; what it raises is remembered too."""
        if what not in self.remembered:
            try:
                self.remembered[what] = (compute(), None)
            except Exception as error:
                self.remembered[what] = (None, error)
        value, raised = self.remembered[what]
        if raised is not None:
            raise raised
        return value

    def as_json(self) -> dict[str, Any]:
        """What another process needs to build the same subject."""
        return {
            "name": self.name,
            "options": self.all_options,
            "plugin_path": [str(Path(folder).expanduser().resolve()) for folder in self.plugin_path],
            "scorer": dataclasses.asdict(self.scorer),
            "kind": self.kind,
            "target": {name: rows(examples) for name, examples in self.targets().items()}
            if self.kind == "selector"
            else None,
        }

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Subject:
        """The subject that `as_json` describes."""
        target = {name: pool_of_rows(examples) for name, examples in (told["target"] or {}).items()}
        return cls(**{**told, "scorer": ModelRef(**told["scorer"]), "target": target or None})


def rows(examples: Sequence[Example]) -> list[dict[str, Any]]:
    """Examples as plain data."""
    return [dataclasses.asdict(example) for example in examples]


def pool_of_rows(found: Sequence[Mapping[str, Any]], name: str = "conformance") -> Pool:
    """The reverse."""
    return Pool(
        [Example(**{**row, "history": tuple((user, said) for user, said in row["history"])}) for row in found], name
    )


# selbench's own features by what they depend on: one subject computes them for all that are checked in this process.
_shared: dict[bytes, Feature] = {}


class Features:
    """Features by what they depend on, so that checks over one pool compute each once."""

    def __init__(self) -> None:
        self._own: dict[bytes, Feature] = {}
        # By the plugin itself, in order, with the seed of the context that was asked; not by other features.
        self.asked: list[tuple[int, FeatureSpec]] = []

    def provider(self, fresh: bool, seed: int = 0) -> Callable[[FeatureSpec, Pool, Context], Feature]:
        """What a Context gets its features from; with `fresh`, nothing computed earlier is used.

        `seed` is the context's.
        """
        anew: dict[bytes, Feature] = {}
        depth = 0

        def provide(spec: FeatureSpec, pool: Pool, context: Context) -> Feature:
            nonlocal depth
            scorer = context.scorer if spec.needs_scorer else None
            if not depth:
                self.asked.append((seed, spec))
            key = _key(spec, pool, scorer)
            everybodys = _shared if type(spec).__module__.startswith("selbench.") else self._own
            kept = anew if fresh else everybodys
            if key is None or key not in kept:
                # As in a run, a feature has a context of its own, and may ask it for other features.
                inner = Context(pool, scorer=scorer, scratch=context.scratch, feature_store=provide)
                depth += 1
                try:
                    found = spec.compute(pool, inner)
                finally:
                    depth -= 1
                if key is None:
                    return found
                kept[key] = everybodys[key] = found
            return kept[key]

        return provide


def _key(spec: FeatureSpec, pool: Pool, scorer: ModelRef | None) -> bytes | None:
    """All that a feature depends on; None for one that cannot be written down, which is then computed each time."""
    try:
        what = (type(spec).__module__, type(spec).__qualname__, vars(spec))
        return pickle.dumps((what, pool.fingerprint, scorer and dataclasses.astuple(scorer)))
    except Exception:  # a stranger's spec may hold anything
        return None
