"""The data of a run as MLflow data sets: pool, target examples and suites, each with a digest of its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from selbench.store.records import Record
from selbench.tracking.previews import pool_of, target_of

SOURCE = 60_000  # characters kept of a source; MLflow's database column holds 65,535


def dataset_inputs(record: Record) -> list[Any]:
    """The DatasetInputs of a run, for `MlflowClient.log_inputs`; their context is pool, target or suite."""
    axes, config = record.axes, record.config
    pool = pool_of(record)
    found = [_input("pool", axes.pool, axes.pool_key, config.get("pool") or {}, len(pool) if pool else None)]
    if axes.target:
        for capability, options in (config.get("target") or {}).items():
            examples = target_of(record, capability)
            digest = examples.fingerprint[:20] if examples else _options_digest(options)
            found.append(_input("target", capability, digest, options, len(examples) if examples else None))
    items = {suite: _item_count(record, suite) for suite in axes.suite_keys}
    for suite, key in axes.suite_keys.items():
        found.append(_input("suite", suite, key, (config.get("suite") or {}).get(suite) or {}, items[suite]))
    return found


def _item_count(record: Record, suite: str) -> int | None:
    rows = record.headlines(suite)
    return sum(row.items for row in rows) if rows else None


def _input(context: str, name: str, digest: str, options: Mapping[str, Any], size: int | None) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    kind, source = _source(options)
    profile = None if size is None else json.dumps({"num_rows": size})
    data = Dataset(str(name)[:500], digest[:36], kind, json.dumps(source, default=str)[:SOURCE], None, profile)
    return DatasetInput(data, [InputTag("mlflow.data.context", context)])


def _source(options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """MLflow's type of source, and the source: local files, a Hub data set, or the code that made it from options."""
    if path := options.get("path"):
        return "local", {"uri": path if isinstance(path, str) else ", ".join(map(str, path))}
    if options.get("hub"):
        about = {"path": options["hub"], "config_name": options.get("subset"), "data_files": options.get("hub_file")}
        return "hugging_face", {**about, "split": options.get("split"), "revision": options.get("revision")}
    return "code", {"tags": dict(options)}


def _options_digest(options: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()[:20]
