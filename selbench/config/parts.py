"""The parts that the cells of a grid are made of (selectors, trainers, suites ...), to tell which options are whose."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from hydra import compose
from omegaconf import DictConfig, OmegaConf

from selbench.addresses import NAMED, SINGLE, Part
from selbench.config.composition import PRIMARY
from selbench.plugins import Registry
from selbench.settings import PlainSettings


class PartsOfCells:
    """The parts of cells, by their composed settings. Cells with the same choices share them, the objects too."""

    def __init__(self, registry: Registry, by_name: Collection[str]) -> None:
        self.registry = registry
        self.by_name = by_name  # the groups of which an option is addressed by name
        self._found: dict[tuple[str, ...], list[Part]] = {}
        self._keys: dict[tuple[str, str], list[str]] = {}

    def __call__(self, overrides: Sequence[str]) -> list[Part]:
        """The parts of a cell with these overrides, which hold no options. Raises HydraException if they do not compose."""
        plain = {item.name for item in dataclasses.fields(PlainSettings)}
        deciding = tuple(text for text in overrides if text.partition("=")[0] not in plain)
        if deciding not in self._found:
            self._found[deciding] = self._parts(deciding)
        return self._found[deciding]

    def _parts(self, overrides: Sequence[str]) -> list[Part]:
        config = compose(PRIMARY, overrides=list(overrides), return_hydra_config=True)
        chosen = config.hydra.runtime.choices
        parts = [
            _part(config[group], group, choice=str(chosen.get(group, "")))
            for group in SINGLE
            if config[group] is not None
        ]
        for group in NAMED:
            named = self._choices_by_key(group, overrides)
            parts += [_part(node, group, named.get(key, ""), key) for key, node in config[group].items()]
        return parts

    def _choices_by_key(self, group: str, overrides: Sequence[str]) -> dict[str, str]:
        """Suite or target -> the choice that made it, which may have another name; for groups addressed by name."""
        typed = [text.partition("=")[2] for text in overrides if text.partition("=")[0] == group]
        if group not in self.by_name or not typed:
            return {}
        names = [name.strip(" '\"") for name in typed[-1].strip("[]").split(",") if name.strip()]
        return {key: name for name in names for key in self._keys_of(group, name)}

    def _keys_of(self, group: str, name: str) -> list[str]:
        """The suites or targets that a choice makes: one for most, six for `suite=common`."""
        if (group, name) not in self._keys:
            folder = [f"hydra.searchpath=[file://{self.registry.config_dir}]"] if self.registry.config_dir else []
            self._keys[group, name] = [*map(str, compose(PRIMARY, overrides=[*folder, f"{group}=[{name}]"])[group])]
        return self._keys[group, name]


def _part(node: DictConfig, group: str, choice: str, key: str = "") -> Part:
    cls = OmegaConf.get_type(node)
    options = {str(name): _is_table(OmegaConf.select(node, str(name), throw_on_missing=False)) for name in node}
    return Part(group, getattr(cls, "plugin_name", ""), options, choice, key)


def _is_table(value: object) -> bool:
    """Whether an option takes entries of any name; one that is a dataclass takes those of its fields alone."""
    return OmegaConf.is_dict(value) and OmegaConf.get_type(value) is dict
