"""What past stages cost, read from their manifests and from the records that say which models they used."""

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
from selbench.store.records import SELECTION, Record
from selbench.store.stages import DROPPED, MANIFEST

# Kind in a manifest of former versions -> kind of today.
FORMER_KINDS = {folder: kind for kind, folder in FORMER_FOLDERS.items()}
# Kind of stage -> the field of its identity that describes its plugin; and the field with the fingerprint of its model.
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
    """One stage that was computed in the past."""

    kind: str
    plugin: str  # its name; the kind for token counts
    options: str  # a hash of the plugin's options
    model: str | None  # the fingerprint of the base model or scorer
    parameters: float | None  # of that model
    sizes: Mapping[
        str, float
    ]  # how much work it was: unit (tokens, response tokens, examples, items; `whole` is 1) -> number
    seconds: float
    whole_seconds: float  # of a selection together with its features; otherwise as `seconds`
    bytes: float  # of its files
    device: str | None = None  # cuda, mps or cpu; None for a stage of a version that did not note it


@dataclass(frozen=True)
class PastSelection:
    """What was selected in the past."""

    ids: tuple[str, ...]  # best first
    unit: str  # of its budget


class Past:
    """All stages of one store, also those whose files were dropped."""

    def __init__(self, root: Path, records: Iterable[Record], refs: Iterable[ModelRef] = ()) -> None:
        """`refs` are models that manifests may name, besides those of the records."""
        self.root = root
        records = list(records)
        self._parameters = _parameters_by_fingerprint([*refs, *_recorded_models(records)])
        self._by_training = {record.stages["training"]: record for record in records if "training" in record.stages}
        self._by_selection = {record.stages["selection"]: record for record in records if "selection" in record.stages}
        manifests = sorted(self._manifests(), key=lambda manifest: str(manifest.get("created", "")))
        # Manifests name pools and base models by fingerprint only: sizes of pools come from their token counts, the base
        # model of an evaluation from the fine-tuning that it evaluates.
        self._pools = {m["identity"]["pool"]: size for m in manifests if (size := self._pool_size(m))}
        self._bases = {m["key"]: m["identity"]["model"] for m in manifests if m["kind"] == "training"}
        self.stages = [self._past_stage(manifest) for manifest in manifests]
        # Seconds of the comparison of a tuned model's outputs with its base's, which are no part of the training's.
        self.output_checks = [
            float(m["logged"]["output_check_s"]) for m in manifests if "output_check_s" in m.get("logged", {})
        ]
        self._selections = [manifest for manifest in manifests if manifest["kind"] == "selection"]

    def of(self, kind: str, plugin: str | None = None) -> list[PastStage]:
        """The past stages of one kind, and of one plugin if it is given; the latest last."""
        return [stage for stage in self.stages if stage.kind == kind and plugin in (None, stage.plugin)]

    def selections(self, selector: str, options: str, pool: str) -> list[PastSelection]:
        """The past selections of a selector with these options (their hash) from a pool (its fingerprint)."""
        found = []
        for manifest in self._selections:
            identity = manifest["identity"]
            about = identity.get("selector", {})
            if (about.get("name"), digest(about.get("options")), identity.get("pool")) == (selector, options, pool):
                kept = read_json(self.root / "selection" / manifest["key"] / SELECTION)
                if kept and kept.get("ids"):
                    found.append(PastSelection(tuple(kept["ids"]), str(identity.get("budget", ["examples"])[0])))
        return found

    def _manifests(self) -> Iterator[dict[str, Any]]:
        for folder in sorted(self.root.glob("[!.]*/[!.]*")):
            manifest = read_json(folder / MANIFEST) or read_json(folder / DROPPED)
            if manifest and isinstance(manifest.get("identity"), dict):
                yield {**manifest, "kind": FORMER_KINDS.get(manifest["kind"], manifest["kind"])}

    def _pool_size(self, manifest: Mapping[str, Any]) -> int:
        """The number of examples in the pool whose token counts this stage holds; 0 for another kind of stage."""
        path = self.root / "tokens" / manifest["key"] / "tokens.npy"
        if manifest["kind"] != "tokens" or not path.is_file():
            return 0
        return int(np.load(path, mmap_mode="r").shape[0])

    def _past_stage(self, manifest: Mapping[str, Any]) -> PastStage:
        kind, key, identity = manifest["kind"], manifest["key"], manifest["identity"]
        about = identity.get(_PLUGIN.get(kind, ""), {})
        model = self._base_model(kind, identity)
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
            device=manifest.get("device"),
        )

    def _base_model(self, kind: str, identity: Mapping[str, Any]) -> str | None:
        """The fingerprint of the base model or scorer; None for a stage without a model."""
        if kind == "evaluation":
            return self._bases.get(identity["model"], identity["model"])
        found: str | None = identity.get(_MODEL.get(kind, ""))
        return found

    def _sizes(self, manifest: Mapping[str, Any]) -> dict[str, float | None]:
        """Unit -> how much work the stage was; None where that is not known. The best unit comes first."""
        kind, logged = manifest["kind"], manifest["logged"]
        if kind == "training":
            record = self._by_training.get(manifest["key"])
            # A trainer need not say how many tokens went through the model; those in the loss are measured for all.
            return {
                "tokens": logged.get("tokens_seen"),
                "response tokens": record.training.response_tokens_kept if record else None,
                "examples": record.selection.examples if record else None,
            }
        if kind == "evaluation":
            return {"items": logged.get("items"), "whole": 1.0}
        return {"examples": self._pools.get(manifest["identity"].get("pool"))}


def _recorded_models(records: Iterable[Record]) -> Iterator[ModelRef]:
    """The models and scorers that records name, each once; only local folders, as no hub is asked."""
    named = [record.config.get(role) for record in records for role in ("model", "scorer")]
    for about in {digest(about): about for about in named if about}.values():
        if Path(about["path"]).expanduser().is_dir():
            yield ModelRef(**about)


def _parameters_by_fingerprint(refs: Iterable[ModelRef]) -> dict[str, float]:
    """Fingerprint of a model -> its number of parameters, where both can be read."""
    found = {}
    for ref in refs:
        try:
            if size := parameters(ref):
                found[fingerprint(ref)] = size
        except UserError:  # the folder has been deleted since
            continue
    return found
