"""Errors of Hydra and OmegaConf, many lines there, as one sentence with the valid choices."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from selbench.errors import NotApplicable, UserError, unknown
from selbench.plugins import Registry
from selbench.presets import choices

LAUNCHERS = "hydra/launcher"  # Hydra's group of launchers
# Launchers that come with a package of their own -> the extra of selbench's that installs it.
EXTRAS = {"joblib": "joblib", "ray": "ray", "ray_aws": "ray", "submitit_local": "slurm", "submitit_slurm": "slurm"}


@contextmanager
def explained(registry: Registry | None) -> Iterator[None]:
    """Turns errors of Hydra and OmegaConf into UserErrors."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, registry)) from error


def explain(error: BaseException, registry: Registry | None) -> str:
    """The message of an error of Hydra or OmegaConf, many lines there, as one sentence with the valid choices."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError | NotApplicable):
            return str(cause)
        if isinstance(cause, OmegaConfBaseException):
            return _explain_option(cause, str(error))
        cause = cause.__cause__ or cause.__context__
    text = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
    if bare := re.match(r"Error parsing override '([^']*)' missing EQUAL", text):
        return f"'{bare[1]}' is not a setting: write key=value, as in selector=random."
    if several := re.match(r"Ambiguous value for argument '(.*?)' 1\. ", text):
        key = several[1].partition("=")[0]
        return f"{several[1]} names several values where one is needed; a list is typed as {key}=[a,b]."
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
    if group in ("selector", "trainer", "suite", "pool", "target"):
        for broken in registry.broken:
            if broken.name == name:
                return f"{group} '{name}' is broken: {broken.origin}: {broken.error}"
    if group == LAUNCHERS:
        return _explain_launcher(name)
    return unknown(group or "setting", name, choices(group, registry))


def _explain_launcher(name: str) -> str:
    if extra := EXTRAS.get(name):
        return f"the launcher '{name}' is not installed: pip install 'selbench[{extra}]' (docs/launchers.md)."
    hydra = GlobalHydra.instance()
    found = hydra.config_loader().get_group_options(LAUNCHERS) if hydra.is_initialized() else []
    return unknown(LAUNCHERS, name, {*found, *EXTRAS})
