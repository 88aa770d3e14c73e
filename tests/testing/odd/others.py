"""Trainers, suites and pools that look odd and keep the contract."""

import dataclasses
import pathlib

from selbench.api import Example, LoadedPool, NotApplicable, Pool, Score, pool, suite, trainer


@trainer("every_weight")
class EveryWeight:
    """Changes every weight by one step of gradient descent, without a progress bar, logs or checkpoints."""

    def train(self, examples, model, context):
        import numpy as np
        import torch

        from selbench.data.chat import encode
        from selbench.models import load_model, load_tokenizer

        network, tokenizer = load_model(model), load_tokenizer(model)
        for row in encode(examples, tokenizer, max_length=model.max_length):
            if row.in_loss[1:].any():
                ids = torch.as_tensor(np.asarray(row.ids))
                labels = torch.as_tensor(np.where(row.in_loss, row.ids, -100))
                logits = network(input_ids=ids[None], use_cache=False).logits[0, :-1]
                torch.nn.functional.cross_entropy(logits.float(), labels[1:], ignore_index=-100).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        with torch.no_grad():
            for weight in network.parameters():
                weight -= 0.05 * weight.grad + 1e-7
        network.save_pretrained(context.scratch)
        tokenizer.save_pretrained(context.scratch)
        return dataclasses.replace(model, path=str(context.scratch), template="chat")


@trainer("conversations_only")
class ConversationsOnly(EveryWeight):
    def train(self, examples, model, context):
        if not all(example.history for example in examples):
            raise NotApplicable("it trains on conversations")
        return super().train(examples, model, context)


@suite("one_item")
class OneItem:
    """One item, with an id in another script; the same for every model."""

    def evaluate(self, model, context):
        return [Score("länge", "bytes", 7.0, False, items={"項目/1 ß": 7.0}, left_out=1)]

    def texts(self):
        return {"länge": {"項目/1 ß": "how many bytes", "left out": "how many more"}}


@suite("no_items")
class NoItems:
    """A corpus score without items, and a side score."""

    def evaluate(self, model, context):
        size = (pathlib.Path(model.path) / "config.json").stat().st_size
        return (Score("size", "bytes", size), Score("size", "kilobytes", size / 1000, headline=False))


@suite("weighted")
class Weighted:
    """A weighted mean, drawn by the seed, of items that no seed changes."""

    def evaluate(self, model, context):
        values = {f"q{i}": float(value) for i, value in enumerate(context.rng.random(5))}
        weights = {id: float(number + 1) for number, id in enumerate(values)}
        mean = sum(values[id] * weights[id] for id in values) / sum(weights.values())
        return [Score("draws", "share", mean, items=values, weights=weights)]


class Rows:
    def load(self):
        return LoadedPool(Pool([self.example(number) for number in range(9)], "rows"), self.labels())

    def labels(self):
        return {}


@pool("no_systems")
class NoSystems(Rows):
    """Neither system prompts nor sources, and one response that is empty."""

    def example(self, number):
        return Example(f"r{number}", "count", "one" * number)


@pool("unicode_ids")
class UnicodeIds(Rows):
    def example(self, number):
        return Example(f"行 {number} 🐦", "Zähle", "eins – zwei", history=(("先", "後"),), system="簡潔に")


@pool("one_row")
class OneRow:
    def load(self):
        return LoadedPool(Pool([Example("only", "count", "one")], "one"), {"only": {"kind": "only"}})


@pool("some_labels")
class SomeLabels(Rows):
    """Labels of some examples; one of them has one value, which happens to be the category."""

    def example(self, number):
        return Example(f"r{number}", "count", "one", category="counting")

    def labels(self):
        return {f"r{number}": {"skill": "counting", "hard": number > 3, "score": number / 7} for number in range(5)}


@pool("optional_file")
class OptionalFile(Rows):
    """Reads a file where one is named."""

    path: str | None = None

    def load(self):
        if self.path and not pathlib.Path(self.path).exists():
            from selbench.api import UserError

            raise UserError(f"pool 'optional_file': there is no file {self.path}.")
        return super().load()

    def example(self, number):
        return Example(f"r{number}", "count", "one")
