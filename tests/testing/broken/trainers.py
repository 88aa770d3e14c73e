"""Trainers that each break one rule. They train a few steps with plain torch."""

import dataclasses
import os
import pathlib
import shutil

import numpy as np

from selbench.api import trainer


class Plain:
    """A few steps of SGD on each example, in the order given."""

    rate = 0.05

    def train(self, examples, model, context):
        network, tokenizer = self.load(model)
        network.train()
        for number, example in enumerate(context.progress(self.rows(examples, context), "training")):
            self.step(network, tokenizer, example, model, number)
        return self.save(network, tokenizer, model, context)

    def load(self, model):
        from selbench.models import load_model, load_tokenizer

        return load_model(model), load_tokenizer(model)

    def rows(self, examples, context):
        return examples

    def longest(self, model):
        return model.max_length

    def loss(self, network, ids, labels):
        from torch.nn.functional import cross_entropy

        logits = network(input_ids=ids[None], use_cache=False).logits[0, :-1]
        return cross_entropy(logits.float(), labels[1:], ignore_index=-100)

    def step(self, network, tokenizer, example, model, number):
        import torch

        from selbench.data.chat import encode

        (row,) = encode([example], tokenizer, max_length=self.longest(model))
        if not row.in_loss[1:].any():
            return
        ids = torch.as_tensor(np.asarray(row.ids))
        labels = torch.as_tensor(np.where(row.in_loss, row.ids, -100))
        self.loss(network, ids, labels).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        with torch.no_grad():
            for weight in network.parameters():
                if weight.grad is not None:
                    weight -= self.rate * weight.grad
                    weight.grad = None

    def folder(self, context):
        return context.scratch / "model"

    def save(self, network, tokenizer, model, context):
        folder = self.folder(context)
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return dataclasses.replace(model, path=str(folder), template="chat")


@trainer("asserts")
class Asserts(Plain):
    def rows(self, examples, context):
        assert not examples


@trainer("returns_path")
class ReturnsPath(Plain):
    def save(self, *given):
        return super().save(*given).path


@trainer("no_tokenizer")
class NoTokenizer(Plain):
    def save(self, network, tokenizer, model, context):
        network.save_pretrained(self.folder(context))
        return dataclasses.replace(model, path=str(self.folder(context)))


@trainer("elsewhere")
class Elsewhere(Plain):
    """Saves beside its own file."""

    def folder(self, context):
        return pathlib.Path(__file__).parent / "tuned"


@trainer("linked")
class Linked(Plain):
    """Links to the weights by their absolute path, which a renamed folder does not have."""

    def save(self, *given):
        ref = super().save(*given)
        there = pathlib.Path(ref.path) / "model.safetensors"
        there.rename(there.with_name("weights.bin"))
        there.symlink_to(there.with_name("weights.bin"))
        return ref


@trainer("saves_base")
class SavesBase(Plain):
    """Saves the model it has loaded once more."""

    def save(self, network, tokenizer, model, context):
        return super().save(self.load(model)[0], tokenizer, model, context)


@trainer("ascends")
class Ascends(Plain):
    """Follows the gradient up."""

    def loss(self, *given):
        return -super().loss(*given)


@trainer("explodes")
class Explodes(Plain):
    """Ends with weights that are no numbers."""

    rate = float("nan")


@trainer("shuffles_globally")
class ShufflesGlobally(Plain):
    def rows(self, examples, context):
        return [examples[i] for i in np.random.permutation(len(examples))]


@trainer("by_clock")
class ByClock(Plain):
    def rows(self, examples, context):
        order = np.random.default_rng(int.from_bytes(os.urandom(4), "big")).permutation(len(examples))
        return [examples[i] for i in order]


@trainer("in_a_set")
class InASet(Plain):
    """Trains in the order of a set of ids."""

    def rows(self, examples, context):
        by_id = {example.id: example for example in examples}
        return [by_id[id] for id in {example.id for example in examples}]


@trainer("reads_all")
class ReadsAll(Plain):
    """Pays no heed to the training context."""

    def longest(self, model):
        return 10_000


@trainer("miscounts")
class Miscounts(Plain):
    """Says that nothing was cut."""

    def save(self, network, tokenizer, model, context):
        context.log(truncated_examples=0, dropped_examples=0)
        return super().save(network, tokenizer, model, context)


@trainer("logs_nan")
class LogsNan(Plain):
    def save(self, network, tokenizer, model, context):
        context.log(train_loss=float("nan"))
        return super().save(network, tokenizer, model, context)


@trainer("no_history")
class NoHistory(Plain):
    """Cannot train on conversations."""

    def rows(self, examples, context):
        return [example for example in examples if not example.history or example.history[7]]


@trainer("resumes_wrong")
class ResumesWrong(Plain):
    """Goes on after an interruption where it stopped, with the weights it started from."""

    def rows(self, examples, context):
        self.kept = context.checkpoint and context.checkpoint / "done.txt"
        done = int(self.kept.read_text()) if self.kept and self.kept.exists() else 0
        return examples[done:]

    def step(self, network, tokenizer, example, model, number):
        super().step(network, tokenizer, example, model, number)
        if self.kept:
            self.kept.write_text(str(number + 1))


@trainer("mutating_trainer")
class MutatingTrainer(Plain):
    def rows(self, examples, context):
        for example in examples:
            object.__setattr__(example, "system", "you are trained")
        return examples


@trainer("removes_outside")
class RemovesOutside(Plain):
    """Clears a folder that is not its own."""

    def folder(self, context):
        other = pathlib.Path(__file__).parent / "cache"
        other.mkdir(exist_ok=True)
        shutil.rmtree(other)
        return super().folder(context)


@trainer("no_gradients")
class NoGradients(Plain):
    """Leaves torch without gradients."""

    def save(self, *given):
        import torch

        torch.set_grad_enabled(False)
        return super().save(*given)
