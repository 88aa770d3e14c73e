"""A selection that exists already, on request with the model that somebody has tuned on it."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

from selbench_plugins.selectors._id_file import ids_of_file

from selbench.api import Budget, Context, ModelRef, NotApplicable, Pool, Selection, UserError, selector
from selbench.data.commits import commit_of
from selbench.hashing import folder_hash
from selbench.models import local_folder


@selector("given", nested=True, uses_scorer=False)
class Given:
    """The examples whose ids are in a file, best first: a selection made elsewhere, fine-tuned on here like any other.

    With `tuned`, `adapter` or `served` it is also trained elsewhere: that model is evaluated as it is, and nothing is
    fine-tuned. The budget is then the number of ids, and the arm stands on the board of every trainer, as `base` does.

    Options:
        ids: the file: one id a line (.txt), a JSON list or a mapping with `ids` (.json, as a record's selection.json), or
            rows with a column `id` (.jsonl). A smaller budget takes the first ones.
        tuned: the model that was fine-tuned on these examples: a folder, or a name on the hub.
        revision: of a `tuned` on the hub, or whatever tells the versions of a `served` one apart.
        adapter: or the folder of a LoRA adapter that was, for the model of the run.
        served: or the name under which the server of `model=endpoint` has it.
        called: what the arm is called instead of `given FILE`.
    """

    ids: str = ""
    tuned: Optional[str] = None  # noqa: UP045 (OmegaConf on Python 3.10 wants typing's spelling)
    revision: Optional[str] = None  # noqa: UP045
    adapter: Optional[str] = None  # noqa: UP045
    called: str = ""
    served: Optional[str] = None  # noqa: UP045

    def __post_init__(self) -> None:
        if self.tuned and self.adapter:
            raise UserError("selector.given: tuned is a whole model and adapter a part of one: name one of them.")
        if self.served and (self.tuned or self.adapter):
            raise UserError("selector.given: served is on a server, tuned and adapter are files: name one of them.")
        if self.revision and not (self.tuned or self.served):
            raise UserError("selector.given.revision is that of a model on the hub: name it with tuned.")

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: the ids are those of one pool."""
        raise NotApplicable(
            "it selects what a file names: give selector.ids=FILE, and with pool=... the pool of these ids"
        )

    def label(self) -> str:
        """`given core`, `given core, trained elsewhere`."""
        name = self.called or f"given {Path(self.ids).name.partition('.')[0]}"
        return f"{name}, trained elsewhere" if self._trained_elsewhere else name

    def check(self) -> None:
        """Raises UserError without a file of ids, or if it cannot be read."""
        if not self.ids:
            raise UserError("selector 'given' has no file of ids: set selector.given.ids=FILE.")
        _ = self._listed

    def check_budget(self, budget: Budget) -> None:
        """Raises UserError if an id is not in the pool, or the file names fewer or (of a tuned model) more than the budget."""
        known = set(budget.ids)
        if missing := [id for id in self._listed if id not in known]:
            raise UserError(
                f"selector.ids={self.ids}: {len(missing)} of its {len(self._listed)} ids are not in the pool, among them "
                f"'{missing[0]}'; the pool's look like '{budget.ids[0]}'."
            )
        place = {id: position for position, id in enumerate(budget.ids)}
        cost = int(budget.costs[[place[id] for id in self._listed]].sum())
        if cost < budget.limit or (cost > budget.limit and self._trained_elsewhere):
            why = "the model was trained on all of them" if self._trained_elsewhere else "it cannot select more"
            raise UserError(
                f"selector.ids={self.ids} names {cost} {budget.unit}, and the budget is {budget.limit}: {why}; set budget={cost}."
            )

    def identity(self) -> dict[str, Any]:
        """The ids, and the content or the commit of the model; the name of the arm is left out."""
        about: dict[str, Any] = {"ids": self._listed if self.ids else None}
        if self.tuned:
            folder = local_folder(ModelRef(path=self.tuned))
            about["tuned"] = (
                folder_hash(folder) if folder else [self.tuned, commit_of("model", self.tuned, self.revision)]
            )
        if self.adapter:
            about["adapter"] = folder_hash(self._adapter_folder)
        if self.served:
            about["served"] = [self.served, self.revision]
        return about

    def trained_model(self, model: ModelRef) -> ModelRef | None:
        """The model that was trained on the examples elsewhere, with `model` as its base; None where there is none.

        Raises UserError for a folder that holds no model, or no adapter, and for a model on a server beside one in files.
        """
        if model.url and (self.tuned or self.adapter):
            raise UserError(
                f"selector.given.{'tuned' if self.tuned else 'adapter'} is a model in files, and '{model.name}' is behind an "
                f"endpoint ({model.url}): name the tuned one as the server does, with selector.given.served=NAME."
            )
        if self.served:
            if not model.url:
                raise UserError(
                    f"selector.given.served={self.served} is a model on a server, and '{model.name}' is none: name the server "
                    "with model=endpoint model.url=..., or files with tuned or adapter."
                )
            return dataclasses.replace(model, name=self.served, revision=self.revision)
        if self.adapter:
            if model.adapter:
                raise UserError(
                    f"selector.given.adapter is for a model without an adapter, and '{model.name}' has one."
                )
            return dataclasses.replace(model, adapter=str(self._adapter_folder))
        if not self.tuned:
            return None
        folder = local_folder(ModelRef("selector.given.tuned", self.tuned))
        if folder and not (folder / "config.json").is_file():
            raise UserError(
                f"selector.given.tuned={self.tuned} is not the folder of a model: there is no config.json in it."
            )
        path = str(folder.resolve()) if folder else self.tuned
        return dataclasses.replace(model, path=path, revision=self.revision, adapter=None)

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        self.check_budget(budget)
        return Selection.ordered([pool.position(id) for id in self._listed], budget)

    @property
    def _trained_elsewhere(self) -> bool:
        return bool(self.tuned or self.adapter or self.served)

    @property
    def _adapter_folder(self) -> Path:
        folder = Path(self.adapter or "").expanduser().resolve()
        if not (folder / "adapter_config.json").is_file():
            raise UserError(
                f"selector.given.adapter={self.adapter} is not the folder of an adapter: there is no adapter_config.json in it."
            )
        return folder

    @cached_property
    def _listed(self) -> list[str]:
        return ids_of_file(self.ids)
