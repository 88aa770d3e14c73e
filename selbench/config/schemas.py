"""The names that settings may have: the plugins and presets that are found, made known to Hydra."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from selbench.api import ModelRef
from selbench.config.launchers import resolvers
from selbench.errors import UserError
from selbench.plugins import Registry, discover, plugin_path
from selbench.presets import packages, presets, require_distinct
from selbench.settings import Config


class PackagePresets(SearchPathPlugin):
    """Lets Hydra find the presets of installed packages."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for package in packages():
            search_path.append(package, f"pkg://{package}")


def registered(overrides: Sequence[str], config_dir: Path | None = None) -> Registry:
    """The plugins and presets that a command line may name, found and made known to Hydra.

    Raises UserError if a folder does not exist, or if two plugins or two presets have one name.
    """
    registry = discover(plugin_path(overrides))
    if config_dir is not None:
        registry.config_dir = config_dir.expanduser().resolve()
        if not registry.config_dir.is_dir():
            raise UserError(f"--config-dir: the folder {registry.config_dir} does not exist.")
    register(registry)
    return registry


def register(registry: Registry) -> None:
    """Put the dataclasses of the settings and of every plugin into Hydra's ConfigStore, as schemas.

    Raises UserError (PluginError for plugins) if a name was declared twice.
    """
    registry.require_sound()
    require_distinct(registry.config_dir)
    Plugins.instance().register(PackagePresets)
    OmegaConf.register_new_resolver("builtin", lambda path: str(Path(str(files("selbench"))) / path), replace=True)
    OmegaConf.register_new_resolver("package", lambda name: str(files(name)), replace=True)
    for name, function in resolvers().items():
        OmegaConf.register_new_resolver(name, function, replace=True)
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    store.store(group="model", name="schema", node=ModelRef)
    for plugin in registry.plugins.values():
        package = f"suite.{plugin.name}" if plugin.kind == "suite" else plugin.kind
        store.store(group=plugin.kind, name=plugin.name, node=plugin.cls, package=package)
        if plugin.kind == "pool":  # the schema's name in presets of users from before pools were plugins
            for group in ("pool", "target"):
                store.store(group=group, name=f"schema_{plugin.name}", node=plugin.cls)
        # Every pool can be a target: `target=X` has the options target.X.*; a preset of that name stands for itself.
        if plugin.kind == "pool" and plugin.name not in presets("target", registry.config_dir):
            store.store(group="target", name=plugin.name, node=plugin.cls, package=f"target.{plugin.name}")
    # Every model can be a scorer: `scorer=X` reads the same file as `model=X`.
    for name in presets("model", registry.config_dir):
        store.store(group="scorer", name=name, node={"defaults": [{"/model@_here_": name}]}, package="scorer")
