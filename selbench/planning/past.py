"""What the stages of the past cost: read from their manifests, and from the records that say which models they used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selbench.api import ModelRef
from selbench.errors import UserError
from selbench.models import fingerprint
from selbench.planning.flops import parameters
from selbench.store.files import read_json
from selbench.store.inventory import FORMER_FOLDERS
from selbench.store.keys import digest
from selbench.store.records import Record
from selbench.store.stages import DROPPED, MANIFEST

FORMER_KINDS = {folder: kind for kind, folder in FORMER_FOLDERS.items()}
# Where a stage's identity names its plugin.
_PLUGIN = {
    "selection": "selector",
    "training": "trainer",
    "evaluation": "suite",
    "leaks": "suite",
    "features": "spec",
    "autoencoder": "spec",
}
_MODEL = {
    "tokens": "model",
    "lengths": "model",
    "training": "model",
    "selection": "scorer",
    "features": "scorer",
    "autoencoder": "scorer",
}


@dataclass(frozen=True)
class PastStage:
    """One stage that was made once. `sizes` says how much work it was, by unit: examples, tokens, items, whole (1).

    `whole_seconds` also counts the features that a selection rests on.
    """

    kind: str
    plugin: str
    options: str
    model: str | None
    parameters: float | None
    sizes: Mapping[str, float]
    seconds: float
    whole_seconds: float
    bytes: float


class Past:
    """All stages of one store, those whose files were dropped included."""

    def __init__(self, root: Path, records: Iterable[Record], refs: Iterable[ModelRef] = ()) -> None:
        """`refs`: models that may stand in manifests, besides those that the records name."""
        self.root = root
        records = list(records)
        self._parameters = _sizes_of_models([*refs, *_refs(records)])
        self._by_training = {record.stages["training"]: record for record in records if "training" in record.stages}
        self._by_selection = {record.stages["selection"]: record for record in records if "selection" in record.stages}
        manifests = sorted(self._manifests(), key=lambda manifest: str(manifest.get("created", "")))
        self._pools = {m["identity"]["pool"]: size for m in manifests if (size := self._counted(m))}
        self._bases = {m["key"]: m["identity"]["model"] for m in manifests if m["kind"] == "training"}
        self.stages = [self._stage(manifest) for manifest in manifests]

    def of(self, kind: str, plugin: str | None = None) -> list[PastStage]:
        """The latest last."""
        return [stage for stage in self.stages if stage.kind == kind and plugin in (None, stage.plugin)]

    def _manifests(self) -> Iterator[dict[str, Any]]:
        for folder in sorted(self.root.glob("[!.]*/[!.]*")):
            manifest = read_json(folder / MANIFEST) or read_json(folder / DROPPED)
            if manifest and isinstance(manifest.get("identity"), dict):
                yield {**manifest, "kind": FORMER_KINDS.get(manifest["kind"], manifest["kind"])}

    def _counted(self, manifest: Mapping[str, Any]) -> int:
        """The size of a pool, from its token counts; 0 for another stage."""
        path = self.root / "tokens" / manifest["key"] / "tokens.npy"
        if manifest["kind"] != "tokens" or not path.is_file():
            return 0
        return int(np.load(path, mmap_mode="r").shape[0])

    def _stage(self, manifest: Mapping[str, Any]) -> PastStage:
        kind, key, identity = manifest["kind"], manifest["key"], manifest["identity"]
        about = identity.get(_PLUGIN.get(kind, ""), {})
        model = self._model(kind, identity)
        selection = self._by_selection.get(key) if kind == "selection" else None
        seconds = float(manifest["cost"]["wall_s"])
        return PastStage(
            kind=kind,
            plugin=about.get("name", kind),
            options=digest(about.get("options", about.get("fields"))),
            model=model,
            parameters=self._parameters.get(model) if model else None,
            sizes={unit: float(size) for unit, size in self._sizes(manifest).items() if size},
            seconds=seconds,
            whole_seconds=selection.cost["selection"]["wall_s"] if selection else seconds,
            bytes=float(sum(about["bytes"] for about in manifest["files"].values())),
        )

    def _model(self, kind: str, identity: Mapping[str, Any]) -> str | None:
        """The fingerprint of the base model or scorer."""
        if kind == "evaluation":
            return self._bases.get(identity["model"], identity["model"])
        found: str | None = identity.get(_MODEL.get(kind, ""))
        return found

    def _sizes(self, manifest: Mapping[str, Any]) -> dict[str, float | None]:
        kind, logged = manifest["kind"], manifest["logged"]
        if kind == "training":
            record = self._by_training.get(manifest["key"])
            return {"tokens": logged.get("tokens_seen"), "examples": record.selection.examples if record else None}
        if kind == "evaluation":
            return {"items": logged.get("items"), "whole": 1.0}
        return {"examples": self._pools.get(manifest["identity"].get("pool"))}


def _refs(records: Iterable[Record]) -> Iterator[ModelRef]:
    """The models and scorers that records name, each once, as far as they are local folders."""
    named = [record.config.get(role) for record in records for role in ("model", "scorer")]
    for about in {digest(about): about for about in named if about}.values():
        if Path(about["path"]).expanduser().is_dir():
            yield ModelRef(**about)


def _sizes_of_models(refs: Iterable[ModelRef]) -> dict[str, float]:
    """Fingerprint -> parameters."""
    found = {}
    for ref in refs:
        try:
            if size := parameters(ref):
                found[fingerprint(ref)] = size
        except UserError:  # a folder that has gone since
            continue
    return found
