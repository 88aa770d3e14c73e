"""A record as MLflow tags, parameters and metrics, under names that are the same for every run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from selbench.addresses import flat_options
from selbench.store.records import Record

LONG = 5000  # characters kept of a value; MLflow refuses tags and parameters of more than about 6,000


def mlflow_tags(record: Record) -> dict[str, str]:
    """A tag for each axis that the run has, and the tags by which selbench finds the MLflow run again."""
    axes = {f"selbench.{name}": _tag_text(value) for name, value in record.axes.plain().items() if value is not None}
    return {
        **axes,
        "selbench.key": record.key,
        "selbench.status": record.status,
        "selbench.reason": record.reason[:LONG],
        "selbench.created": record.created,
        "mlflow.source.name": "selbench",
        "mlflow.source.git.commit": str(record.versions.get("git") or ""),
        "mlflow.note.content": f"```\n{record.command[:LONG]}\n```" if record.command else "",
    }


def _tag_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={item}" for name, item in value.items())[:LONG]
    return ("+".join(map(str, value)) if isinstance(value, list | tuple) else str(value))[:LONG]


def mlflow_params(record: Record) -> dict[str, str]:
    """The full configuration: option, named as on the command line -> value."""
    return {safe_name(key): str(value)[:LONG] for key, value in flat_options(record.config)}


def mlflow_metrics(record: Record) -> dict[str, float]:
    """Scores (suite/task/metric and suite/mean), facts of selection and training, costs, leaks, and what plugins logged."""
    found = {f"{row.suite}/{row.task}/{row.metric}": row.value for row in record.scores}
    found |= {f"{suite}/mean": value for suite, value in record.headline.items()}
    found |= {f"selection/{k}": float(v) for k, v in record.selection.plain().items() if isinstance(v, int | float)}
    found |= {f"training/{k}": float(v) for k, v in record.training.plain().items() if isinstance(v, int | float)}
    found |= {f"cost/{stage}/{name}": value for stage, cost in record.cost.items() for name, value in cost.items()}
    for suite, about in record.leaks.items():
        if about.checked:
            found |= {f"leaks/{suite}/leaked": about.leaked, f"leaks/{suite}/selected": about.selected}
    return {safe_name(key): float(value) for key, value in {**found, **record.logged}.items()}


def milliseconds(time: str) -> int:
    """An ISO time in milliseconds since 1970, as MLflow counts; 0 if the text is no time."""
    try:
        return int(datetime.fromisoformat(time).timestamp() * 1000)
    except ValueError:
        return 0


def safe_name(key: str) -> str:
    """The name with `_` for every character that MLflow refuses: it takes letters, digits and `_-. :/`."""
    return re.sub(r"[^\w\-. :/]", "_", key)[:250]
