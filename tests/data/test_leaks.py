"""The leak check: what counts as found, what does not, and that nothing is hidden."""

from __future__ import annotations

import ast
import gzip
import json
import time
from pathlib import Path

import pytest
from selbench_plugins.suites._texts import own_words, shown_fields
from selbench_plugins.suites.lm_eval import LmEval
from selbench_plugins.suites.response_loss import ResponseLoss

from selbench.api import Context, Example, ModelRef, Pool, suite
from selbench.data.leaks import Leaks, find_leaks, leak_summary, selected_leaks, suite_leaks
from selbench.data.ngrams import Runs
from selbench.data.pools import FilePool
from selbench.planted.pool import PlantedPool
from selbench.run.leak_check import check_leaks
from selbench.store.stages import Store

ROOT = Path(__file__).parents[2]
TASKS = ROOT / "selbench" / "planted" / "tasks"
LONG = "a farmer has seventeen sheep and all but nine of them run away how many sheep are left on the farm"
ITEMS = {
    "maths": {
        "long": LONG,
        "medium": "How many legs do three spiders have together?",
        "short": "What is 3 + 4?",
        "tiny": "Inflation",
    }
}


def found(*examples: Example) -> dict[str, str]:
    return find_leaks(examples, ITEMS).tasks["maths"].leaked


@pytest.mark.parametrize(
    ("example", "leaked"),
    [
        (Example("e", "what is 3 + 4", "7"), {"short": "exact"}),
        (Example("e", "What is 3 - 4?", "-1"), {}),  # another sum
        (Example("e", "Solve this.", "7", input="What is  3+4 ?"), {"short": "exact"}),
        (Example("e", "And now?", "Yes", history=(("What is 3 + 4?", "7"),)), {"short": "exact"}),
        (
            Example("e", "Write a quiz.", "Name a fish. How many legs do three spiders have together? Bye."),
            {"medium": "whole"},
        ),
        (Example("e", "Tell me how many legs do three spiders have together with a fly", "30"), {}),
        (Example("e", "Riddle: " + LONG.title().replace(" ", ",\n ") + "!", "nine"), {"long": "ngram"}),
        (Example("e", LONG.upper(), "nine"), {"long": "exact"}),
        (Example("e", " ".join(LONG.split()[:12]), "nine"), {}),  # a run of twelve
        (Example("e", " ".join(LONG.split()[4:17]), "nine"), {"long": "ngram"}),  # of thirteen
        (Example("e", "Inflation", "A general rise in prices."), {}),
    ],
)
def test_what_is_found(example, leaked):
    assert found(example) == leaked


def test_the_wording_of_a_task_is_no_evidence():
    preamble = "read the following passage with care and then answer the question below it in one word"
    items = {"reading": {f"q{i}": f"{preamble} passage number {i} about {'x' * (i + 1)}" for i in range(40)}}
    assert not find_leaks([Example("e", f"{preamble} quite another passage", "no")], items).leaked
    assert find_leaks([Example("e", items["reading"]["q3"], "no")], items).tasks["reading"].leaked == {"q3": "exact"}


def test_runs_of_several_lengths_and_shared_by_several_items():
    texts = [["b", "c", "d"], ["z", "a", "b"], ["a"], ["c", "z", "b", "c", "c"]]
    runs = Runs([("a", "b"), ("b", "c"), ("b", "c"), ("b", "c", "d"), ("d", "z")], [0, 1, 2, 3, 4])
    assert runs.find(texts).tolist() == [[0, 1], [0, 2], [0, 3], [1, 0], [3, 1], [3, 2]]


class Silent:
    """A suite without `texts`."""


class Telling:
    def texts(self):
        return ITEMS


@suite("silent")
class SilentPlugin(Silent):
    """Says nothing."""


@suite("telling")
class TellingPlugin:
    """Counts the calls of `texts`."""

    def __post_init__(self):
        self.asked = 0

    def texts(self):
        self.asked += 1
        return ITEMS


def test_the_summary_counts_what_was_selected_and_says_what_it_cannot_know():
    pool = Pool([Example("a", LONG, "9"), Example("b", "What is 3 + 4?", "7"), Example("c", "Hello there", "Hi")])
    target = {"sums": Pool([Example("t", "What is 3 + 4?", "7")])}
    kept = Leaks.of(json.loads(json.dumps(suite_leaks(pool, Telling()).plain())))
    sums = {name: suite_leaks(examples, Telling()) for name, examples in target.items()}
    assert kept.examples == {"a", "b"}
    told, silent = leak_summary(kept, sums, ["b", "c"]), leak_summary(suite_leaks(pool, Silent()), {}, ["b"])
    assert silent == {"checked": False}
    assert (told["items"], told["short"], told["leaked"], told["examples"]) == (4, 1, 2, 2)
    assert (told["selected"], told["selected_items"], told["selected_examples"]) == (1, 1, ["b"])
    assert told["target"] == {"sums": 1} and told["tasks"]["maths"]["target"] == {"sums": 1}
    assert told["tasks"]["maths"]["kinds"] == {"exact": 2}
    assert selected_leaks({"told": told, "silent": silent}) == 1
    assert told["target_examples"] == {"sums": 1}
    none = leak_summary(kept, sums, ["c"])
    assert selected_leaks({"told": none}) == 0 and selected_leaks({"told": none, "silent": silent}) is None


def test_a_check_is_made_once_for_all_selections(tmp_path):
    pool = Pool([Example("a", LONG, "9"), Example("b", "Hello there", "Hi")])
    told, silent = TellingPlugin(), SilentPlugin()
    store = Store(tmp_path)
    target = {"sums": Pool([Example("t", "What is 3 + 4?", "7")])}
    first = check_leaks(pool, {}, {"told": told, "silent": silent}, store)
    again = check_leaks(pool, target, {"told": told, "silent": silent}, store)
    assert told.asked == 2  # of the pool once, and of the target
    one, other = first.summaries(["a"]), first.summaries(["b"])
    assert selected_leaks(one) == 1 and selected_leaks(other) is None and other["silent"] == {"checked": False}
    assert set(first.stages) == {"leaks/told", "leaks/silent"} and first.stages.items() < again.stages.items()
    assert again.summaries([])["told"]["target"] == {"sums": 1}


def test_the_planted_pool_asks_none_of_its_suites_items():
    suite = LmEval(include_path=str(TASKS))
    items = suite.texts()
    assert len(items) == 26 and items["planted_add"]["add-00"] == "how much is 28 and 12?"
    pool = PlantedPool().load().pool
    leaks = find_leaks([*pool, Example("copy", "How much is 28 and 12?", "40")], items)
    assert leaks.examples == {"copy"}
    assert {name: task.leaked for name, task in leaks.tasks.items() if task.leaked} == {
        "planted_add": {"add-00": "exact"}
    }


def test_texts_are_of_the_items_that_are_scored():
    items = LmEval(include_path=str(TASKS), limit=5).texts()
    assert set(items["planted_add"]) == {f"add-0{i}" for i in range(5)}


def test_an_items_own_words_are_without_the_template():
    doc = {"subject": "sea", "question": "How deep is the sea? ", "passage": "Of the sea.", "answer": 1}
    prompt = "Of the sea.\nQuestion: How deep is the sea?\nA. 1\nB. 2\nAnswer:"
    assert shown_fields(doc, prompt) == "Of the sea.\n\nHow deep is the sea?"

    class Named:
        def should_decontaminate(self):
            return True

        def doc_to_decontamination_query(self, doc):
            return doc["passage"]

    assert own_words(Named(), doc) == "Of the sea."


def test_a_query_that_lm_eval_cannot_read_is_not_asked_for():
    """As in its own arc_easy and arc_challenge, whose query is a template that gives no Python literal."""

    class Question:
        def should_decontaminate(self):
            return True

        def doc_to_decontamination_query(self, doc):
            return ast.literal_eval(f"Question: {doc['question']}\nAnswer:")

        def doc_to_text(self, doc):
            return f"Question: {doc['question']}\nAnswer:"

    assert own_words(Question(), {"question": "Which is cold?", "answerKey": "A"}) == "Which is cold?"


def test_alpaca_against_mmlu_in_seconds(shared_data):
    pool = FilePool(path=str(shared_data / "instruction" / "alpaca_52k.jsonl.gz"), drop_invalid=True).load().pool
    with gzip.open(shared_data / "eval" / "mmlu_test.jsonl.gz", "rt") as stream:
        items = {"mmlu": {str(i): json.loads(line)["question"] for i, line in enumerate(stream)}}
    started = time.process_time()
    leaks = find_leaks(pool, items)
    assert time.process_time() - started < 30  # 6 s on a quiet core
    by_id = {example.id: example for example in pool}
    exact = {id for id, kind in leaks.tasks["mmlu"].leaked.items() if kind == "exact"}
    assert {items["mmlu"][id] for id in exact} >= {"Why is the sky blue?", "How does the greenhouse effect work?"}
    dickens = {id for id in leaks.examples if "it was the best of times" in by_id[id].text.lower()}
    assert dickens and leaks.leaked < 50


def test_held_out_responses_are_found_in_a_pool_that_holds_them(shared_data):
    lima = shared_data / "instruction" / "lima_1k.jsonl.gz"
    items = ResponseLoss(sets={"lima": str(lima)}, limit=40).texts()
    leaks = find_leaks(FilePool(path=str(lima)).load().pool, items)
    assert leaks.items == leaks.leaked == 40
    assert set(leaks.tasks["lima"].leaked.values()) == {"exact"}


def test_items_without_ids_are_called_as_in_the_scores(shared_data):
    suite = LmEval(
        tasks=["arc_easy_local"], include_path=str(ROOT / "plugins/suites/tasks"), data_root=str(shared_data), limit=3
    )
    model = ModelRef(name="stories", path=str(shared_data / "models" / "stories-260k"), max_length=512)
    (score,) = [score for score in suite.evaluate(model, Context(seed=0)) if score.headline]
    texts = suite.texts()["arc_easy_local"]
    assert set(score.items) == set(texts)
    assert "Which characteristic describes the texture of a kitten's fur?" not in texts.values()  # the fourth
