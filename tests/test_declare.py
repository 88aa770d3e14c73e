"""What a decorator makes of a class: options with choices, own and inherited; their help; facts; features needed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal, Optional

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ValidationError

from selbench.api import Selection, UserError, selector
from selbench.declare import choices_of, features_needed, help_without_options, option_help

Colour = Literal["red", "green"]


class Picks:
    """Does the work, so that the toys below are selectors; what it annotates is no option."""

    size: Literal["small", "large"] = "small"

    def select(self, pool, budget, context):
        return Selection.ordered(range(len(pool)), budget)


@dataclass
class Painted(Picks):
    """Options that several share.

    Options:
        colour: of the paint,
            in words.
        coats, layers: how many.

    More prose.
    """

    colour: Colour = "red"
    coats: Optional[Literal[1, 2]] = None  # noqa: UP045 (both spellings)
    layers: int = 1


@selector("own")
class Own(Picks):
    """Its own options."""

    colour: Colour = "red"
    coats: Literal[1, 2] | None = None
    share_kept: Literal[0.5, 1.0] = 1.0
    glossy: Literal[True] = True
    size_or_all: int | Literal["all"] = "all"
    several: list[Colour] = field(default_factory=lambda: ["red"])  # type: ignore[arg-type]


@selector("inherited")
class Inherited(Painted):
    """One option more.

    Options:
        matt: whether it shines: no.
        layers: another help.
    """

    matt: bool = False


@selector("grandchild")
class Grandchild(Inherited):
    """A plugin of a plugin."""


@selector("overriding")
class Overriding(Inherited):
    """Another default, and one choice less."""

    colour: Literal["green"] = "green"


def made(cls, **options):
    """As a run makes it: through OmegaConf."""
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(cls), options))


@pytest.mark.parametrize("cls", [Own, Inherited, Grandchild])
def test_choices_are_checked_and_keep_their_values_wherever_they_come_from(cls):
    assert made(cls, colour="green", coats=2) == cls(colour="green", coats=2)
    assert made(cls, coats=None).coats is None
    with pytest.raises(UserError, match=r"option 'colour' of .*Did you mean 'green'"):
        cls(colour="gren")
    with pytest.raises(Exception, match="'coats'"):
        made(cls, coats=3)
    named = {item.name: item.metadata.get("choices") for item in dataclasses.fields(cls)}
    assert named["colour"] == ("red", "green") and named["coats"] == (1, 2)
    assert "size" not in named  # of the mixin


def test_literals_of_every_plain_type():
    assert made(Own, share_kept=0.5, size_or_all=3, several=["green"]) == Own(
        share_kept=0.5, size_or_all=3, several=["green"]
    )
    for wrong in ({"share_kept": 0.7}, {"glossy": False}, {"size_or_all": "some"}, {"several": ["blue"]}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            Own(**wrong)
    with pytest.raises(UserError, match="coats"):
        Own(coats=True)  # which equals 1 and is no number of coats
    with pytest.raises(ValidationError):
        made(Own, glossy="perhaps")


def test_the_last_word_on_an_option_counts():
    assert Overriding().colour == "green"
    with pytest.raises(UserError, match="colour"):
        Overriding(colour="red")
    assert [item.name for item in dataclasses.fields(Overriding)] == ["colour", "coats", "layers", "matt"]


def test_the_base_keeps_its_literals():
    assert Painted(colour="blue").colour == "blue"  # a plain dataclass checks nothing
    assert "choices" not in dataclasses.fields(Painted)[0].metadata


def test_choices_of_a_type():
    assert choices_of(Colour) == ("red", "green") == choices_of(Colour | None) == choices_of(list[Colour])
    assert choices_of(int) == choices_of(int | None) == choices_of(dict[str, int]) == ()


def test_help_comes_from_the_class_and_its_bases():
    told = option_help(Inherited)
    assert told == {
        "colour": "of the paint, in words.",
        "coats": "how many.",
        "layers": "another help.",
        "matt": "whether it shines: no.",
    }
    assert option_help(Own)["colour"] == ""
    assert help_without_options(Painted) == "Options that several share.\n\nMore prose."


def test_a_plugin_of_a_plugin_keeps_its_checks():
    @selector("parent")
    class Parent(Picks):
        level: int = 1

        def __post_init__(self) -> None:
            if self.level < 1:
                raise UserError("too low")
            self.stochastic = self.level > 5

    @selector("child")
    class Child(Parent):
        depth: int = 2

    assert Child(level=9).stochastic and not Child().stochastic
    with pytest.raises(UserError, match="too low"):
        Child(level=0)


def test_a_fact_may_be_a_property_of_a_base():
    @dataclass
    class Base(Picks):
        draws: bool = True

        @property
        def stochastic(self) -> bool:
            return self.draws

    @selector("drawing")
    class Drawing(Base):
        pass

    assert Drawing().stochastic and not Drawing(draws=False).stochastic


@pytest.mark.parametrize(
    "share, takes_budget, selects_nothing", [(None, True, False), (0.0, False, True), (0.5, False, False)]
)
def test_a_share_in_words(share, takes_budget, selects_nothing):
    @selector("some", share=share)
    class Some(Picks):
        pass

    assert (Some().takes_budget, Some().selects_nothing) == (takes_budget, selects_nothing)


def test_needs_may_ask_for_the_seed_or_not():
    class Old(Picks):
        def needs(self):
            return ["old"]

    class New(Picks):
        def needs(self, seed):
            return (f"new {seed}",)

    class Wrong(Picks):
        def needs(self, seed):
            raise TypeError("a fault of its own")

    assert features_needed(Old(), 3) == ["old"]
    assert features_needed(New(), 3) == ["new 3"]
    assert features_needed(Picks(), 3) == []
    with pytest.raises(TypeError, match="a fault of its own"):
        features_needed(Wrong(), 3)
