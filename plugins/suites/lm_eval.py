"""Scores by tasks of EleutherAI's lm-evaluation-harness (lm-eval) and by task files in its form."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from selbench_plugins.suites._counting import counting_model_class
from selbench_plugins.suites._endpoint import check_endpoint, endpoint_model
from selbench_plugins.suites._hub_data import data_commits
from selbench_plugins.suites._scores import scores_of_results
from selbench_plugins.suites._task_needs import check_needs, unsafe_text
from selbench_plugins.suites._tasks import Changes, check_names, check_own_tasks, load_tasks, own_files
from selbench_plugins.suites._texts import task_texts
from selbench_plugins.suites._vllm import check_vllm, vllm_model

from selbench.api import Context, ModelRef, Score, UserError, suite
from selbench.kept_model import borrowed_model
from selbench.libraries import own_randomness, quiet
from selbench.models import load_tokenizer, positions_in
from selbench.placement import input_device

# The seed that draws the worked examples of prompts, so that every arm and seed gets the same ones; lm-eval's default.
FEWSHOT_SEED = 1234
CODE_ALLOWED = "HF_ALLOW_CODE_EVAL"  # the variable that the metric `code_eval` asks for permission

CHECK_TASK = """\
task: selbench_check_add
dataset_path: json
dataset_kwargs: {data_files: {test: items.jsonl}}
output_type: generate_until
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n"], do_sample: false}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""


@suite("lm_eval")
class LmEval:
    """Tasks and groups of lm-eval by name (list them with `python -m lm_eval ls tasks`), and task files of a folder.

    Each task or group has one headline score, kept with its items: that of `metric` if given, else of exact_match,
    acc_norm or acc, else of the metric that the task lists first. All other metrics are kept as side scores.

    Options:
        tasks: the names of tasks or groups; empty runs all task files of `include_path`.
        include_path: a folder of task files (lm-eval's YAML form), whose `data_files` are relative to the file.
        data_root: the folder that ${data_root} stands for in these files.
        metric: the metric of the headline score, as "acc" or "exact_match,strict-match" (with a filter of the task).
        num_fewshot: how many worked examples the prompt has; null keeps the task's number.
        limit: the largest number of items of each task; null for all.
        batch_size: requests in one forward pass; 0 is 64 on a CPU and as many as fit on a GPU.
        apply_chat_template: put prompts into the model's chat template.
        max_gen_toks: the longest answer that is generated, in tokens; null keeps the task's value.
        max_length: the longest prompt with its answer, in tokens, where it is to be lower than what the model has positions
            for. A longer prompt is cut on the left; such items are counted.
        add_bos_token: whether prompts begin with the BOS token; null leaves that to the tokenizer.
        unsafe_code: allow tasks that execute code which the model has written, on this machine and outside any sandbox.
        backend: what runs the model: hf is transformers in this process, vllm is vLLM (docs/suites.md).
        backend_options: arguments of lm-eval's class for vLLM (tensor_parallel_size, gpu_memory_utilization, ...), or for a
            model behind an endpoint (num_concurrent, timeout, max_retries, ...).
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
    backend: Literal["hf", "vllm"] = "hf"
    backend_options: dict[str, Any] = field(default_factory=dict)

    # Its version says the version of its own tasks too, and neither is to be had of the tasks without importing it.
    libraries = ("lm-eval",)

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UserError(f"limit={self.limit}: a limit is a whole number of items from 1, or null for all.")

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: a task of a few short questions."""
        rows = [{"id": f"q{i}", "question": f"what is {i} add 1", "answer": str(i + 1)} for i in range(4)]
        (folder / "items.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        (folder / "add.yaml").write_text(CHECK_TASK, encoding="utf-8")
        return {"include_path": str(folder), "limit": 4, "max_gen_toks": 8}

    def check(self) -> None:
        """Raises UserError for what would fail or be refused once a model is trained.

        That is: no task or an unknown one; task files of the user's that have no items, or that name a column that is not
        there; a task that runs the model's code without `unsafe_code`; a Python module, nltk resource or metric that a task
        needs and that is not there.
        """
        check_own_tasks(self.tasks, self.include_path, self.data_root)
        check_names(self.tasks, self.include_path)
        check_needs(self.tasks, self.include_path, self.unsafe_code)
        if self.backend == "vllm":
            check_vllm(self.backend_options)

    def check_endpoint(self, model: ModelRef) -> None:
        """Raises UserError for tasks or options that a model behind an endpoint cannot be scored with, and for its server.

        NotAtHand if that does not answer now.
        """
        options, chat = self.backend_options, self.apply_chat_template
        check_endpoint(model, self.tasks, self.include_path, apply_chat_template=chat, options=options)

    def identity(self) -> dict[str, Any]:
        """The options for the key: the content of task files and their data instead of the paths, commits of data on the hub."""
        options = dataclasses.asdict(self)
        folder, root = options.pop("include_path"), options.pop("data_root")
        # Only where they are not the usual ones, so that the keys of evaluations from before there was a choice still hold.
        if options["backend"] == "hf":
            del options["backend"]
        if not options["backend_options"]:
            del options["backend_options"]
        about = {**options, "own": own_files(folder, root)}
        of_hub = data_commits(self.tasks, folder)
        return {**about, "hub": of_hub} if of_hub else about

    def evaluate(self, model: ModelRef, context: Context) -> list[Score]:
        """The scores of all tasks, evaluated in one go so that requests of many small tasks share batches.

        Raises UserError for tasks that cannot be loaded or scored, for a prompt and answer that do not fit into the
        model, and for a task that runs the model's code without `unsafe_code`.
        """
        with quiet(), own_randomness(context.seed), _silenced(), _code_execution(self.unsafe_code):
            loaded = self._load_tasks()
            self._refuse_unsafe(loaded["tasks"])
            for task in loaded["tasks"].values():
                task.set_fewshot_seed(FEWSHOT_SEED)
            with self._harness_model(model, context) as harness:
                results, cut = self._results(harness, loaded), harness.cut
        found = scores_of_results(results, self.tasks, self.metric, cut)
        context.log(items=sum(len(score.items) for score in found), cut=sum(map(len, cut.values())))
        return found

    def texts(self) -> dict[str, dict[str, str]]:
        """Task -> item id -> the item's words without template and worked examples, for the leak check."""
        with quiet(), _silenced(), _code_execution(self.unsafe_code):
            return {name: task_texts(task, self.limit) for name, task in self._load_tasks()["tasks"].items()}

    def _load_tasks(self) -> dict[str, Any]:
        changes = Changes(self.num_fewshot, self.max_gen_toks)
        return load_tasks(self.tasks, self.include_path, self.data_root, changes)

    def _refuse_unsafe(self, tasks: dict[str, Any]) -> None:
        """Raises UserError for a task that runs code which the model writes, unless `unsafe_code` allows it."""
        for name, task in tasks.items():
            if getattr(task, "UNSAFE_CODE", False) and not self.unsafe_code:
                raise UserError(unsafe_text(name))

    def _results(self, harness: Any, loaded: dict[str, Any]) -> Any:
        from lm_eval.evaluator import evaluate

        try:
            return evaluate(
                harness,
                loaded,
                limit=self.limit,
                bootstrap_iters=0,  # no standard errors: verdicts compute their own from items and seeds
                apply_chat_template=self.apply_chat_template,
                confirm_run_unsafe_code=self.unsafe_code,
            )
        except AssertionError as error:  # lm-eval asserts that prompt and answer fit into the model
            raise UserError(f"lm-eval: {error} Set the suite's max_gen_toks.") from error

    @contextlib.contextmanager
    def _harness_model(self, model: ModelRef, context: Context) -> Iterator[Any]:
        """The model as lm-eval takes it."""
        about: dict[str, Any] = {"max_length": self.max_length, "add_bos_token": self.add_bos_token}
        if model.url:
            about |= {"batch_size": self.batch_size, "options": self.backend_options}
            with endpoint_model(model, context.scratch, **about) as harness:
                yield harness
            return
        if self.backend == "vllm":
            with vllm_model(model, context.scratch, options=self.backend_options, **about) as harness:
                yield harness
            return
        with borrowed_model(model) as network:
            known = positions_in(network.config.to_dict())
            yield counting_model_class()(
                pretrained=network,
                tokenizer=load_tokenizer(model),
                # Where the configuration names no end, lm-eval asks the tokenizer, and else takes 2,048.
                max_length=min(filter(None, (self.max_length, known)), default=None),
                batch_size=self.batch_size or (64 if input_device(network).type == "cpu" else "auto"),
                add_bos_token=self.add_bos_token,
            )


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Holds back what lm-eval prints: nothing reaches stdout, and stderr gets its progress bars on a terminal only."""
    import lm_eval.api.task as building

    _cache_templates()
    bar = building.tqdm
    building.tqdm = lambda items, **_: items  # no bar for building the prompts of each task
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            if not sys.stderr.isatty():
                stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            yield
    finally:
        building.tqdm = bar


@contextlib.contextmanager
def _code_execution(allowed: bool) -> Iterator[None]:
    """Inside, the metric that executes written code does so if it is `allowed`, and refuses otherwise.

    It reads the environment, also when a task with it is loaded: then it tries itself out on two lines of its own.
    """
    before = os.environ.pop(CODE_ALLOWED, None)
    if allowed:
        os.environ[CODE_ALLOWED] = "1"
    try:
        yield
    finally:
        os.environ.pop(CODE_ALLOWED, None)
        if before is not None:
            os.environ[CODE_ALLOWED] = before


def _cache_templates() -> None:
    """Caches compiled templates for the whole process.

    lm-eval compiles a task's templates again for every item, which takes half the time of a suite of short answers.
    """
    from lm_eval.utils import env

    if not hasattr(env.from_string, "cache_info"):
        env.from_string = lru_cache(maxsize=4096)(env.from_string)
