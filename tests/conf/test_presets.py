"""Every named pool and model is readable, named and made of known fields."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from selbench.api import ModelRef
from selbench.data.pools import FilePool
from selbench.plugins import discover
from selbench.presets import choices

CONF = Path(__file__).resolve().parents[2] / "conf"
POOLS = sorted((CONF / "pool").glob("*.yaml"))
MODELS = [path for path in sorted((CONF / "model").glob("*.yaml")) if not path.stem.startswith("planted-")]


def _read(path: Path) -> dict[str, object]:
    config = OmegaConf.load(path)
    defaults = config.pop("defaults")
    assert defaults[-1] == "_self_"
    return {str(key): value for key, value in OmegaConf.to_container(config).items()}  # type: ignore[union-attr]


@pytest.mark.parametrize("path", POOLS, ids=lambda path: path.stem)
def test_pool(path: Path) -> None:
    fields = _read(path)
    assert fields["name"] == path.stem.replace("_", "-")
    assert ("path" in fields) != ("hub" in fields)
    merged = OmegaConf.merge(OmegaConf.structured(FilePool), OmegaConf.create(fields))
    assert isinstance(OmegaConf.to_object(merged) if "path" not in fields else FilePool(), FilePool)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_model(path: Path) -> None:
    fields = _read(path)
    # A local one is named after its folder, a served one as its server names it.
    assert fields["name"] == ("" if path.stem in ("local", "endpoint") else path.stem)
    assert fields["path"] or path.stem == "endpoint"
    assert fields["template"] in ("auto", "alpaca", "chat")
    assert set(fields) <= {field.name for field in dataclasses.fields(ModelRef)}
    OmegaConf.merge(OmegaConf.structured(ModelRef), OmegaConf.create(fields))


def test_the_promised_names_are_there() -> None:
    pools = {path.stem for path in POOLS}
    assert pools >= {"alpaca", "alpaca_gpt4", "dolly", "lima", "wizardlm_evol", "tulu_v2", "tulu_3"}
    assert {"file", "hub", "planted"} <= set(choices("pool", discover()))
    models = {path.stem for path in MODELS}
    assert models >= {"smollm2-135m", "llama-2-13b", "llama-3.2-3b-instruct", "local", "stories-260k"}
