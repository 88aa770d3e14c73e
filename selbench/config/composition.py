"""The settings of one run, composed by Hydra and turned into typed objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from selbench.config.held_selectors import with_selectors_in_options
from selbench.config.messages import explained
from selbench.endpoint import base_address
from selbench.errors import UserError
from selbench.launch.isolation import check_isolation
from selbench.placement import resolved_dtype
from selbench.plugins import Registry, recorded_plugin_path
from selbench.presets import CONFIG_MODULE
from selbench.settings import PlainSettings, Run, amount_of, check_choices
from selbench.stated import StatedShape, StatedSize

PRIMARY = "config"


@contextmanager
def composing() -> Iterator[None]:
    """Hydra's global state, which its compose API needs; removed at the end, for a Hydra program that may follow."""
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module(CONFIG_MODULE, version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().clear()


def compose_config(overrides: Sequence[str], registry: Registry, with_hydra: bool = False) -> DictConfig:
    """The composed configuration of one cell. Raises UserError, one sentence with the valid choices."""
    with composing(), explained(registry):
        return compose(PRIMARY, overrides=list(overrides), return_hydra_config=with_hydra)


def to_run(config: DictConfig) -> Run:
    """The run, in plain and validated objects, of a composed configuration. Raises UserError for invalid settings."""
    with explained(None):
        resolved: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        model: Any = OmegaConf.to_object(config.model)
        scorer: Any = OmegaConf.to_object(config.scorer) if config.scorer is not None else model
        suites: dict[str, Any] = {str(name): OmegaConf.to_object(node) for name, node in config.suite.items()}
        targets: dict[str, Any] = {str(name): OmegaConf.to_object(node) for name, node in config.target.items()}
        objects: dict[str, Any] = {
            key: OmegaConf.to_object(config[key]) for key in ("pool", "selector", "trainer", "tracking")
        }
        objects["selector"] = with_selectors_in_options(
            objects["selector"], resolved["selector"], recorded_plugin_path(resolved)
        )
        plain: dict[str, Any] = {item.name: config[item.name] for item in dataclasses.fields(PlainSettings)}
    plain["budget"] = resolved["budget"] = amount_of(resolved["budget"])
    check_choices(resolved)
    by_machine = config.auto_dtype is None and "auto" in (model.dtype, scorer.dtype)
    for ref, key in ((model, "model"), (scorer, "scorer")):
        if ref.dtype == "auto":
            ref.dtype = config.auto_dtype or resolved_dtype("auto")
        if resolved[key] is not None:
            resolved[key]["dtype"] = ref.dtype
    if not suites:
        raise UserError("no suite: name at least one, e.g. suite=planted or suite=[response_loss,arc_easy].")
    for ref, key in ((model, "model"), (scorer, "scorer")):
        if ref.url is not None:
            ref.url = base_address(ref.url, f"{key}.url")
            if resolved[key] is not None:
                resolved[key]["url"] = ref.url
            if not ref.name:
                raise UserError(f"{key}.name is empty: it is the name under which {ref.url} serves the model.")
        elif not ref.path:
            raise UserError(f"{key}.path is empty: name a folder or a hub model.")
    _drop_stated(resolved["pool"], objects["pool"])
    _drop_stated(resolved["model"], model)
    _drop_stated(resolved["scorer"] or {}, scorer)
    for name, target in targets.items():
        _drop_stated(resolved["target"][name], target)
    named = {"pool": objects["pool"], "model": model, **({"scorer": scorer} if resolved["scorer"] else {})}
    for key, thing in named.items():  # a name that follows from a path, as the record is to show it
        if "name" in resolved[key]:
            resolved[key]["name"] = thing.name
    run = Run(
        **plain,
        **objects,
        scorer=scorer,
        model=model,
        dtype_by_machine=by_machine,
        suites=suites,
        targets=targets,
        output_dir=Path(config.output_dir).expanduser(),
        started=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        resolved={
            **resolved,
            "selector": {"name": objects["selector"].plugin_name, **resolved["selector"]},
            "plugins": {  # the plugins whose options stand above, because the names there may be those of presets
                "pool": objects["pool"].plugin_name,
                "target": {name: target.plugin_name for name, target in targets.items()},
                "trainer": objects["trainer"].plugin_name,
                "suite": {name: suite.plugin_name for name, suite in suites.items()},
            },
        },
    )
    check_isolation(run)
    if run.feature_shards < 1:
        raise UserError(f"feature_shards={run.feature_shards}: a feature is computed in 1 shard at least.")
    return run


def _drop_stated(options: dict[str, Any], of: Any) -> None:
    """Leave what is stated for plans out of the configuration that a record keeps: no result depends on it."""
    if isinstance(getattr(of, "stated", None), StatedSize | StatedShape):
        options.pop("stated", None)


def as_yaml(config: Mapping[str, Any]) -> str:
    """A recorded configuration as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(dict(config)))
