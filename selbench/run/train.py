"""Fine-tuning on the selected examples as a stage."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from selbench.api import Context, Example, ModelRef
from selbench.errors import PluginError
from selbench.kept_model import make_room
from selbench.models import fingerprint
from selbench.run.inputs import forget_pools
from selbench.run.output_change import output_change
from selbench.run.plugin_call import examples_kept, plugin_call, plugin_title, type_name
from selbench.run.stage import RunStage
from selbench.store.cost import measure
from selbench.store.files import write_json
from selbench.store.keys import derive_seed, digest, plugin_identity
from selbench.store.stages import Stage, Store

REF = "model.json"


@dataclass(frozen=True, eq=False)
class TrainingStage(RunStage):
    """The fine-tuning of one model on the chosen examples; it is done when its result is first asked for."""

    trainer: Any
    examples: Sequence[Example]  # in pool order: two selectors that choose the same set share one fine-tuning
    model: ModelRef  # to start from
    seed: int  # of the run
    kind: ClassVar[str] = "training"

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "trainer": plugin_identity(self.trainer),
            "examples": digest([(example.id, example.content_hash) for example in self.examples]),
            "model": fingerprint(self.model),
            "seed": self.seed,
        }

    def result(self, store: Store, say: Callable[[str], None], inputs: Sequence[str] = ()) -> ModelRef:
        """The fine-tuned model, trained now unless it is in the store.

        `inputs` are the stages ("kind/key") that the choice of examples rests on.
        """

        def compute(folder: Path) -> Mapping[str, float]:
            say(f"fine-tuning on {len(self.examples)} examples")
            make_room()  # a trainer that loads models by other means than ours cannot ask for it
            kept = store.checkpoint(self.kind, self.identity)
            context = Context(seed=derive_seed(self.seed, "training"), scratch=folder, checkpoint=kept)
            given = [self.examples]
            with examples_kept(self.trainer, "train", given, forget_pools), plugin_call(self.trainer, "train"):
                tuned = self.trainer.train(list(self.examples), dataclasses.replace(self.model), context)
            tuned = checked_model(tuned, self.trainer)
            with measure() as checking:  # which takes its time off that of the training
                change = output_change(self.model, tuned, self.examples)
            if change is not None:
                context.log(output_change=change, output_check_s=checking["wall_s"])
            about = {
                name: value for name, value in dataclasses.asdict(tuned).items() if name not in ("stated", "device_map")
            }
            write_json(folder / REF, _with_relative_paths(about, folder))
            return context.logged

        stage = store.stage(self.kind, self.identity, compute, inputs=inputs)
        found = ModelRef(**_with_absolute_paths(json.loads((stage.path / REF).read_text()), stage.path))
        return dataclasses.replace(found, device_map=self.model.device_map)  # of this run, not of the one that trained

    def recall(self, store: Store) -> Stage | None:
        """The finished stage, with what it cost and logged, also when its weights have been dropped; None if never made."""
        return store.recall(self.kind, self.key)

    @contextmanager
    def weights_held(self, store: Store, keep: bool) -> Iterator[None]:
        """Lock the weights, so that no other process uses or drops them meanwhile, and drop them at the end.

        They stay if `keep` is set, or if the block raises: an evaluation that failed will need them again.
        """
        with store.lock(f"use-{self.kind}", self.key, "fine-tuning and evaluating"):
            yield
            if not keep:
                store.drop(self.kind, self.key)


def checked_model(tuned: Any, trainer: Any) -> ModelRef:
    """What a trainer returned, with its paths as text. Raises PluginError unless it says where a tuned model is."""
    who = plugin_title(trainer)
    if not isinstance(tuned, ModelRef):
        raise PluginError(f"{who} returned {type_name(tuned)}, not a ModelRef: train() says where the tuned model is.")
    paths = {name: getattr(tuned, name) for name in ("path", "adapter")}
    for name, path in paths.items():
        if not isinstance(path, str | os.PathLike | None) or (name == "path" and not os.fspath(path or "")):
            raise PluginError(f"{who} returned a ModelRef whose {name} is {path!r}, not the name of a folder.")
    ref = dataclasses.replace(tuned, **{name: path and os.fspath(path) for name, path in paths.items()})
    for name, path in (("path", ref.path), ("adapter", ref.adapter)):
        if path and Path(path).is_absolute() and not Path(path).is_dir():
            raise PluginError(f"{who} returned a ModelRef whose {name} is {path}, where there is no folder.")
    return ref


def _with_relative_paths(ref: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A model reference whose paths inside the stage's working folder, which will be renamed, are relative to it."""
    inside = {key: Path(ref[key]) for key in ("path", "adapter") if ref[key] and Path(ref[key]).is_relative_to(folder)}
    return {**ref, **{key: f"./{path.relative_to(folder)}" for key, path in inside.items()}}


def _with_absolute_paths(ref: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The reverse: paths of files in the stage's folder, made absolute."""
    inside = [key for key in ("path", "adapter") if ref[key] and (folder / ref[key]).exists()]
    return {**ref, **{key: str((folder / ref[key]).resolve()) for key in inside}}
