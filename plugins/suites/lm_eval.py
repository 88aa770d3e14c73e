"""Any task of EleutherAI's lm-evaluation-harness, and our own task files."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import sys
from collections.abc import Iterator
from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from selbench_plugins.suites._scores import scores_of_results
from selbench_plugins.suites._tasks import Changes, load_tasks, own_files
from selbench_plugins.suites._texts import task_texts

from selbench.api import Context, ModelRef, Score, UserError, suite
from selbench.libraries import own_randomness, quiet
from selbench.models import load_model, load_tokenizer

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

# Every arm and seed gets the same examples in its prompts; lm-eval's own default.
FEWSHOT_SEED = 1234


@suite("lm_eval")
class LmEval:
    """Any lm-eval task or group by name (list them with `python -m lm_eval ls tasks`), and task files of a folder.

    A task or group has one headline score, with its items: `metric` where given, else exact_match, acc_norm, acc, or
    what the task lists first. All other metrics are kept as side scores.

    Options:
        tasks: names of tasks or groups; empty runs all task files of `include_path`.
        include_path: a folder of task files (lm-eval's YAML form), whose `data_files` are relative to the file.
        data_root: what ${data_root} stands for in these files.
        metric: the headline's, as "acc" or "exact_match,strict-match".
        num_fewshot: examples in the prompt; null: as the task says.
        limit: at most so many items of each task; null: all.
        batch_size: 0 is 64 on a CPU and what fits on a GPU.
        apply_chat_template: prompts are put into the model's template.
        max_gen_toks: how much may be generated; null: as the task says.
        max_length: of prompt and answer, in tokens; null: the model's.
        add_bos_token: null: as the tokenizer does by itself.
        unsafe_code: tasks that run code which the model writes may do so.
    """

    tasks: list[str] = field(default_factory=list)
    include_path: str | None = None
    data_root: str = ""
    metric: str = ""
    num_fewshot: int | None = None
    limit: int | None = None
    batch_size: int = 0
    apply_chat_template: bool = False
    max_gen_toks: int | None = None
    max_length: int | None = None
    add_bos_token: bool | None = None
    unsafe_code: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UserError(f"limit={self.limit}: a limit is a whole number of items from 1, or null for all.")

    def identity(self) -> dict[str, Any]:
        """The options, with what task files and their data hold instead of where they are."""
        options = dataclasses.asdict(self)
        folder, root = options.pop("include_path"), options.pop("data_root")
        return {**options, "own": own_files(folder, root)}

    def evaluate(self, model: ModelRef, context: Context) -> list[Score]:
        """Run all tasks in one go, so that requests of many small tasks share batches."""
        with quiet(), own_randomness(context.seed), _silenced():
            from lm_eval.evaluator import evaluate

            loaded = self._load_tasks()
            self._refuse_unsafe(loaded["tasks"])
            for task in loaded["tasks"].values():
                task.set_fewshot_seed(FEWSHOT_SEED)
            try:
                results: Any = evaluate(
                    self._harness_model(model),
                    loaded,
                    limit=self.limit,
                    bootstrap_iters=0,
                    apply_chat_template=self.apply_chat_template,
                    confirm_run_unsafe_code=self.unsafe_code,
                )
            except AssertionError as error:  # how lm-eval says that prompt and answer do not fit into the model
                raise UserError(f"lm-eval: {error} Set the suite's max_gen_toks.") from error
        found = scores_of_results(results, self.tasks, self.metric)
        context.log(items=sum(len(score.items) for score in found))
        return found

    def texts(self) -> dict[str, dict[str, str]]:
        """Task -> item id -> the item's own words, for the leak check."""
        with quiet(), _silenced():
            return {name: task_texts(task, self.limit) for name, task in self._load_tasks()["tasks"].items()}

    def _load_tasks(self) -> dict[str, Any]:
        changes = Changes(self.num_fewshot, self.max_gen_toks)
        return load_tasks(self.tasks, self.include_path, self.data_root, changes)

    def _refuse_unsafe(self, tasks: dict[str, Any]) -> None:
        for name, task in tasks.items():
            if getattr(task, "UNSAFE_CODE", False) and not self.unsafe_code:
                raise UserError(
                    f"task '{name}' runs code that the model writes: allow it with the suite's unsafe_code=true."
                )

    def _harness_model(self, model: ModelRef) -> HFLM:
        from lm_eval.models.huggingface import HFLM

        network = load_model(model)
        positions = getattr(network.config, "max_position_embeddings", None) or sys.maxsize
        return HFLM(
            pretrained=network,
            tokenizer=load_tokenizer(model),
            max_length=min(self.max_length or model.max_length, positions),
            batch_size=self.batch_size or (64 if network.device.type == "cpu" else "auto"),
            add_bos_token=self.add_bos_token,
        )


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """lm-eval prints and draws bars as it likes: nothing on stdout, and on stderr only bars on a terminal."""
    import lm_eval.api.task as building

    _cache_templates()
    bar = building.tqdm
    building.tqdm = lambda items, **_: items  # one bar per task for building its prompts is never wanted
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            if not sys.stderr.isatty():
                stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            yield
    finally:
        building.tqdm = bar


def _cache_templates() -> None:
    """lm-eval compiles a task's templates anew for every item: half the time of a suite of short answers."""
    from lm_eval.utils import env

    if not hasattr(env.from_string, "cache_info"):
        env.from_string = lru_cache(maxsize=4096)(env.from_string)
