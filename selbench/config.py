"""The run's dataclasses, the ConfigStore and the composition: besides the command line, the one module that knows Hydra."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Optional, Union, get_args

from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from selbench.api import ModelRef
from selbench.data.pools import FilePool
from selbench.errors import NotApplicable, UserError, unknown
from selbench.planted.pool import PlantedPool
from selbench.plugins import Registry
from selbench.presets import CONFIG_MODULE, presets

PRIMARY = "config"
Reuse = Literal["missing", "verify", "none"]
REUSE = get_args(Reuse)
RETRY = ("failed", "skipped", "all")


@dataclass
class Tracking:
    """Where records are mirrored to. `uri` is any MLflow tracking URI; None: an SQLite file under output_dir."""

    enabled: bool = True
    uri: Optional[str] = None  # noqa: UP045 (OmegaConf on Python 3.10 wants typing's spelling)


@dataclass
class Config:
    """One cell of the grid, as composed; the help text of each setting is in conf/config.yaml."""

    pool: Any = MISSING
    selector: Any = MISSING
    budget: Union[int, float] = 0.1  # noqa: UP007
    budget_unit: str = "examples"
    scorer: Optional[ModelRef] = None  # noqa: UP045
    model: ModelRef = field(default_factory=ModelRef)
    target: dict[str, Any] = field(default_factory=dict)
    trainer: Any = MISSING
    suite: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    comparison: str = "default"
    baseline: str = "random"
    published: Any = None
    tracking: Tracking = field(default_factory=Tracking)
    keep_models: bool = False
    reuse: str = "missing"
    retry: Optional[str] = None  # noqa: UP045
    fail_fast: bool = False
    shared_store: bool = False
    price_per_hour: Optional[float] = None  # noqa: UP045
    currency: str = "USD"
    output_dir: str = "outputs"
    data_root: str = "data"
    plugin_path: Any = None  # a folder or a list of them; read before Hydra starts, by the command line
    sweep: Optional[str] = None  # noqa: UP045


@dataclass(frozen=True)
class Run:
    """One cell in plain objects: from here on nothing knows Hydra. `started` is when it was made of its settings."""

    pool: Any
    selector: Any
    budget: int | float
    budget_unit: str
    scorer: ModelRef
    model: ModelRef
    targets: Mapping[str, Any]
    trainer: Any
    suites: Mapping[str, Any]
    seed: int
    comparison: str
    baseline: str
    tracking: Tracking
    keep_models: bool
    reuse: Reuse
    retry: str | None
    fail_fast: bool
    shared_store: bool
    output_dir: Path
    sweep: str | None
    started: str
    resolved: Mapping[str, Any]


def register(registry: Registry) -> None:
    """Put every schema in Hydra's ConfigStore: ours, and the dataclass of every plugin.

    Raises PluginError if a name was declared twice.
    """
    registry.require_sound()
    OmegaConf.register_new_resolver("builtin", lambda path: str(Path(str(files("selbench"))) / path), replace=True)
    OmegaConf.register_new_resolver(
        "builtin_conf", lambda path: str(Path(str(files(CONFIG_MODULE))) / path), replace=True
    )
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    store.store(group="pool", name="schema_file", node=FilePool)
    store.store(group="pool", name="schema_planted", node=PlantedPool)
    store.store(group="target", name="schema_file", node=FilePool)
    store.store(group="target", name="schema_planted", node=PlantedPool)
    store.store(group="model", name="schema", node=ModelRef)
    for plugin in registry.plugins.values():
        package = f"suite.{plugin.name}" if plugin.kind == "suite" else plugin.kind
        store.store(group=plugin.kind, name=plugin.name, node=plugin.cls, package=package)
    # Every model can be a scorer: `scorer=X` reads the same file as `model=X`.
    for name in presets("model"):
        store.store(group="scorer", name=name, node={"defaults": [{"/model@_here_": name}]}, package="scorer")


@contextmanager
def composing() -> Iterator[None]:
    """Hydra's compose API needs global state; leave none behind for the Hydra program that may follow."""
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module(CONFIG_MODULE, version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().clear()


def compose_config(overrides: Sequence[str], registry: Registry, with_hydra: bool = False) -> DictConfig:
    """The composed configuration of one cell. Raises UserError in one sentence, with the valid choices."""
    with composing():
        try:
            return compose(PRIMARY, overrides=list(overrides), return_hydra_config=with_hydra)
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(explain(error, registry)) from error


def compose_run(overrides: Sequence[str], registry: Registry) -> Run:
    """One cell from its overrides, checked."""
    return to_run(compose_config(overrides, registry))


def to_run(config: DictConfig) -> Run:
    """From the composed config to plain, validated objects."""
    try:
        resolved: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        model: Any = OmegaConf.to_object(config.model)
        scorer: Any = OmegaConf.to_object(config.scorer) if config.scorer is not None else model
        suites: dict[str, Any] = {str(name): OmegaConf.to_object(node) for name, node in config.suite.items()}
        targets = {str(name): OmegaConf.to_object(node) for name, node in config.target.items()}
        plain: dict[str, Any] = {
            key: OmegaConf.to_object(config[key]) for key in ("pool", "selector", "trainer", "tracking")
        }
    except (OmegaConfBaseException, HydraException) as error:
        raise UserError(explain(error, None)) from error
    for key, valid in (("reuse", REUSE), ("retry", RETRY)):
        if config[key] is not None and config[key] not in valid:
            raise UserError(unknown(key, config[key], valid))
    if not suites:
        raise UserError("no suite: name at least one, e.g. suite=planted or suite=[response_loss,arc_easy].")
    for ref, key in ((model, "model"), (scorer, "scorer")):
        if not ref.path:
            raise UserError(f"{key}.path is empty: name a folder or a hub model.")
    return Run(
        **plain,
        budget=config.budget,
        budget_unit=config.budget_unit,
        scorer=scorer,
        model=model,
        suites=suites,
        targets=targets,
        seed=config.seed,
        comparison=config.comparison,
        baseline=config.baseline,
        keep_models=config.keep_models,
        reuse=config.reuse,
        retry=config.retry,
        fail_fast=config.fail_fast,
        shared_store=config.shared_store,
        output_dir=Path(config.output_dir).expanduser(),
        sweep=config.sweep,
        started=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        resolved={
            **resolved,
            "selector": {"name": plain["selector"].plugin_name, **resolved["selector"]},
            "plugins": {  # whose options the others are: they may be called after a preset
                "trainer": plain["trainer"].plugin_name,
                "suite": {name: suite.plugin_name for name, suite in suites.items()},
            },
        },
    )


def explain(error: BaseException, registry: Registry | None) -> str:
    """What Hydra and OmegaConf say over many lines, in one sentence with the valid choices."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError | NotApplicable):
            return str(cause)
        if isinstance(cause, OmegaConfBaseException):
            return _explain_option(cause, str(error))
        cause = cause.__cause__ or cause.__context__
    text = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
    named = re.search(r"Could not (?:find|load) '([^']+)'", text)
    if registry and named:
        return _explain_choice(named[1], registry)
    return text


def _explain_option(error: OmegaConfBaseException, told: str) -> str:
    key, schema = error.full_key or str(error.key), error.object_type
    first = str(error.msg or error).splitlines()[0]
    if "MissingMandatoryValue" in type(error).__name__:
        return f"{key} is not set: it has no default, write {key}=..."
    if schema is not None and dataclasses.is_dataclass(schema) and "not in" in first:
        group = key.rpartition(".")[0]
        valid = [item.name for item in dataclasses.fields(schema)]
        owner = getattr(schema, "plugin_name", None)
        what = f"option of {getattr(schema, 'plugin_kind', '')} '{owner}':" if owner else "setting:"
        return unknown(what, key, (f"{group}.{name}" if group else name for name in valid))
    return f"{key}: {first}" if key and key not in first else (first or told)


def _explain_choice(asked: str, registry: Registry) -> str:
    group, _, name = asked.rpartition("/")
    if group in ("selector", "trainer", "suite"):
        for broken in registry.broken:
            if broken.name == name:
                return f"{group} '{name}' is broken: {broken.origin}: {broken.error}"
    return unknown(group or "setting", name, choices(group, registry))


def choices(group: str, registry: Registry) -> list[str]:
    """What may follow `group=`: our presets and the plugins, without the schemas."""
    if group == "scorer":
        return presets("model")
    plugins = {plugin.name for plugin in registry.of_kind(group)}
    return sorted({*presets(group), *plugins})
