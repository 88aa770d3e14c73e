"""Loads models and tokenizers from their references; a failure is reported in one sentence."""

from __future__ import annotations

import copy
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selbench.api import Example, ModelRef
from selbench.data import hub
from selbench.data.chat import ALPACA_TEMPLATE, encode
from selbench.data.commits import Repository, at_commit, cached_folder, commit_of, settled
from selbench.data.templates import (
    day_of_template,
    template_file,
    template_identity,
    template_text,
    with_fixed_date,
)
from selbench.data.tokenizer_file import FILE, SETTINGS, TEMPLATE, TokenizerFile
from selbench.errors import UserError
from selbench.hashing import folder_hash
from selbench.libraries import quiet
from selbench.placement import device_for, dtype_for, resolved_dtype, spread_options

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# What architectures call the number of tokens that they have positions for.
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length", "n_ctx")
OWN_POSITIONS = "the model's positions"


@dataclass(frozen=True)
class TrainingContext:
    """The longest example that a model is fine-tuned on, in tokens, and the `limit` that says so."""

    tokens: int
    limit: str
    most: int | None = None  # tokens up to which raising the limit helps; None where no end is known

    def advice(self, shorter_template: bool) -> str:
        """What makes more fit, as an imperative; `shorter_template` says whether model.template=plain is shorter."""
        shorter = "use a shorter template (model.template=plain), or " if shorter_template else ""
        if self.limit == OWN_POSITIONS:
            return f"{shorter}use a model with more positions"
        return f"{shorter}raise {self.limit}" + (f" (at most {self.most:,} tokens help)" if self.most else "")


def training_context(model: ModelRef, lower: int | None = None) -> TrainingContext:
    """`model.max_length`, which a trainer's own max_length (`lower`) may lower, and never more than the model's positions.

    Raises UserError if either is below 1, or if the trainer's is above the model's.
    """
    for name, value in (("model", model.max_length), ("trainer", lower)):
        if value is not None and value < 1:
            raise UserError(f"{name}.max_length={value} must be at least 1 token.")
    if lower is not None and lower > model.max_length:
        known = positions(model)
        raising = (
            f"The model has {known:,} positions; leave"
            if known and known < lower
            else f"Set model.max_length={lower}, or leave"
        )
        raise UserError(
            f"trainer.max_length={lower} is above model.max_length={model.max_length}, which is the training context: a "
            f"trainer may only lower it. {raising} trainer.max_length out."
        )
    known = positions(model)
    own = TrainingContext(model.max_length, "model.max_length", known)
    if lower is not None and lower < own.tokens:
        own = TrainingContext(lower, "trainer.max_length", min(model.max_length, known or model.max_length))
    return TrainingContext(known, OWN_POSITIONS) if known and known <= own.tokens else own


def positions(ref: ModelRef) -> int | None:
    """How many tokens the model has positions for; None where its configuration names no end.

    A config.json at hand is read without transformers, which is asked only for what the file leaves to its defaults.
    """
    config = config_of(ref)
    return (positions_in(config) or _default_positions(ref)) if config else None


def positions_in(config: Mapping[str, Any]) -> int | None:
    """The same from the content of a config.json, or from `to_dict()` of a loaded configuration."""
    config = {**config, **(config.get("text_config") or {})}
    return next((int(config[name]) for name in POSITIONS if config.get(name)), None)


def _default_positions(ref: ModelRef) -> int | None:
    from transformers import AutoConfig

    try:
        return positions_in(_load_pretrained(AutoConfig.from_pretrained, ref).to_dict())
    except UserError:  # loading the model will say what is wrong with it
        return None


def config_of(ref: ModelRef) -> dict[str, Any] | None:
    """The model's config.json: of a folder, or of a hub model in the local cache; None if there is none to be read."""
    path = _file_at_hand(ref, "config.json")
    try:
        found: dict[str, Any] = json.loads(path.read_text()) if path else {}
    except (OSError, ValueError):
        return None
    return found or None


def _file_at_hand(ref: ModelRef, name: str) -> Path | None:
    """A file of a model's folder, or of a hub model at its commit in the local cache."""
    if not ref.path:  # a served model whose tokenizer is not named
        return None
    if folder := local_folder(ref):
        return folder / name if (folder / name).is_file() else None
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(ref.path, name, revision=_commit_of(ref.path, ref.hub_revision))
    except ValueError:  # a path that is no name on the hub either: loading the model will say so
        return None
    return Path(found) if isinstance(found, str) else None


def light_tokenizer(ref: ModelRef) -> TokenizerFile | None:
    """The tokenizer as `load_tokenizer` gives it, from files at hand and without transformers; None if that cannot be."""
    files = {name: path for name in (FILE, SETTINGS, TEMPLATE) if (path := _file_at_hand(ref, name))}
    tokenizer = TokenizerFile.read(files) if FILE in files else None
    if tokenizer is None or (ref.template == "chat" and not tokenizer.chat_template):
        return None
    tokenizer.name_or_path = ref.path
    tokenizer.chat_template = _template_in_force(ref, tokenizer.chat_template)
    return tokenizer


def _template_in_force(ref: ModelRef, of_tokenizer: Any) -> Any:
    """The chat template that `ref` names, with its date fixed; transformers has several by name as a mapping.

    Raises UserError for an unknown template, or one whose date cannot be fixed.
    """
    text = template_text(ref.template, ref.name) or of_tokenizer or ALPACA_TEMPLATE
    day = day_of_template(ref.template_date, ref.name)
    if isinstance(text, Mapping):
        return {name: with_fixed_date(one, day, ref.name) for name, one in text.items()}
    return with_fixed_date(text, day, ref.name)


def weights_missing(ref: ModelRef) -> str:
    """Why the weights of a hub model cannot be had now, as a clause without an end; empty if they can, and for a folder.

    Empty for a model behind an endpoint, too.
    """
    if ref.url or local_folder(ref):
        return ""
    found = settled(Repository("model", ref.path, ref.hub_revision))
    if not found.commit:
        return found.reason
    if found.asked or any(any(cached_folder(found).glob(f"*{ending}")) for ending in WEIGHTS):
        return ""
    return "" if hub.reachable() else f"the local cache holds no weights of it, and {hub.unreachable_text()}"


NO_CONFIG = "there is no config.json in it, so it is not the folder of a model"
WEIGHTS = (".safetensors", ".bin")
TOKENIZER_FILES = ("tokenizer.", "vocab.", "merges.txt", "spiece.", "sentencepiece.", "spm.", "bpe.")


def load_tokenizer(ref: ModelRef) -> PreTrainedTokenizerBase:
    """The tokenizer, with the chat template that `ref.template` names and with a padding token.

    Raises UserError if it cannot be loaded, is no fast tokenizer, or has no chat template where one is required.
    """
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = _load_pretrained(AutoTokenizer.from_pretrained, ref)
    if ref.template == "chat" and not tokenizer.chat_template:
        raise UserError(f"model '{ref.name}' has no chat template: use model.template=alpaca (or plain, or auto).")
    tokenizer.chat_template = _template_in_force(ref, tokenizer.chat_template)
    if not tokenizer.is_fast:
        raise UserError(f"model '{ref.name}' has no fast tokenizer, which selbench needs to tell prompt from response.")
    # Padding is never attended to nor scored, so any token will do.
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def template_name(ref: ModelRef, chat_template: Any) -> str:
    """What the template in force is called, of a model whose tokenizer has this `chat_template`: auto is resolved."""
    if ref.template != "auto":
        path = template_file(ref.template)
        return path.name if path else ref.template
    return "alpaca" if chat_template in (None, "", ALPACA_TEMPLATE) else "chat"


def plain_is_shorter(tokenizer: Any) -> bool:
    """Whether prompts in the template `plain` take fewer tokens than in the one that this tokenizer has."""
    plain = copy.copy(tokenizer)
    plain.chat_template = template_text("plain", "")
    example = [Example("0", "a", "b")]
    own, other = (len(encode(example, each, max_length=sys.maxsize)[0].ids) for each in (tokenizer, plain))
    return other < own


# Called before a model is loaded: whoever keeps another one in memory may give it up.
BEFORE_LOADING: list[Callable[[], None]] = []


def load_model(ref: ModelRef, *, device: str | None = None, quantization: Any = None) -> PreTrainedModel:
    """The causal language model in evaluation mode, with its adapter merged; loaded anew, and the caller's own.

    Whoever only reads it takes `selbench.kept_model.borrowed_model`, which need not load it again.

    Args:
        ref: the model. With dtype "auto", weights are bfloat16 on a GPU and float32 on a CPU. With a device_map, its blocks
            are spread over devices by accelerate.
        device: in place of `ref.device_map`, one device for the whole model; by default a GPU if there is one.
        quantization: a configuration of transformers' with which the weights are loaded.

    Raises UserError if the model cannot be loaded, or the dtype or the device_map is unknown.
    """
    for make_room in BEFORE_LOADING:
        make_room()
    spread = ref.device_map if device is None else None
    device = device_for(device)
    if quantization is not None:  # quantized while it is loaded, on its device
        options: dict[str, Any] = {"quantization_config": quantization, "device_map": {"": device}}
    else:
        options = spread_options(ref) if spread else {}
    given = {name: getattr(value, "name", value) for name, value in options.items()}  # a folder by its name
    model: Any = load_base(ref, device, **given)
    if ref.adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, ref.adapter).merge_and_unload()
    # FSDP has loaded the weights in the first process alone: in the others they are on no device yet.
    placed = bool(options) or any(parameter.is_meta for parameter in model.parameters())
    ready: PreTrainedModel = (model if placed else model.to(device)).eval()
    if "offload_folder" in options:
        ready.offload_folder = options["offload_folder"]  # deleted with the model
    return ready


def load_base(ref: ModelRef, device: str, **options: Any) -> PreTrainedModel:
    """The model without its adapter, in host memory, with weights of the type that they have on this device.

    `options` are passed to transformers, and may place it elsewhere. Raises UserError as `load_model` does.
    """
    from transformers import AutoModelForCausalLM

    if ref.url:
        raise UserError(f"model '{ref.name}' is behind an endpoint ({ref.url}): its weights cannot be loaded.")
    base: PreTrainedModel = _load_pretrained(
        AutoModelForCausalLM.from_pretrained, ref, dtype=dtype_for(ref, device), **options
    )
    return base


def local_folder(ref: ModelRef) -> Path | None:
    """The folder that `ref.path` names; None for the name of a hub model. Raises UserError for a missing folder."""
    if not ref.path:
        return None
    where = Path(ref.path).expanduser()
    local = where.is_absolute() or ref.path.startswith((".", "~")) or where.exists()
    if local and not where.is_dir():
        raise UserError(f"model '{ref.name}': the folder {where} does not exist (set by model.path or scorer.path).")
    return where if local else None


def _load_pretrained(load: Any, ref: ModelRef, **options: Any) -> Any:
    """The result of a `from_pretrained` (`load`) for the reference. Raises UserError if it fails."""
    where = local_folder(ref)
    try:
        with quiet():
            if where:
                return load(str(where), **options)
            with at_commit(
                "model", ref.path, ref.hub_revision
            ) as commit:  # also if the branch has moved since its key was made
                return load(ref.path, revision=commit, **options)
    except (OSError, ValueError) as error:
        if where:
            reason = _what_is_missing(where) or _one_line(str(error))
            raise UserError(f"model '{ref.name}': {where} could not be loaded by transformers: {reason}") from error
        raise UserError(
            f"model '{ref.name}': '{ref.path}' is neither in the local Hugging Face cache nor reachable on the hub "
            f"from here; point at a local copy with model.path=/path/to/folder (scorer.path=... for a scorer)."
        ) from error


def require_complete(ref: ModelRef) -> None:
    """Raises UserError for a folder without a tokenizer, which every run needs, or with a configuration but no weights.

    A folder of a tokenizer alone is let pass: a trainer and a suite of one's own may need no more. So is one without
    weights if the model is behind an endpoint.
    """
    folder = local_folder(ref)
    missing = _what_is_missing(folder, weights=not ref.url) if folder else ""
    if missing and missing != NO_CONFIG:
        raise UserError(f"model '{ref.name}': {folder} cannot be loaded by transformers: {missing}.")


def _what_is_missing(folder: Path, weights: bool = True) -> str:
    """What a folder lacks that a model and its tokenizer are loaded from, and where to get it; empty if nothing is known."""
    names = {path.name for path in folder.iterdir()}
    if "adapter_config.json" in names and "config.json" not in names:
        return (
            "it holds an adapter, not a model; set model.path to the model that it belongs to and model.adapter to it"
        )
    if not any(name.startswith(TOKENIZER_FILES) for name in names):
        return (
            "there is no tokenizer in it (tokenizer.json, tokenizer.model or a vocabulary); save the one that the model was "
            "trained with into the folder, as tokenizer.save_pretrained(folder) does"
        )
    if "config.json" not in names:
        return NO_CONFIG
    if weights and not any(name.endswith(WEIGHTS) for name in names):
        return f"there are no weights in it (a file that ends in {' or '.join(WEIGHTS)})"
    return ""


def _one_line(text: str) -> str:
    """The first sentence of a message, which may go on after a line that ends in a colon."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no reason given"]
    return " ".join(lines[:6]) if lines[0].endswith(":") else lines[0]


def fingerprint(ref: ModelRef) -> str:
    """A hash of everything that can change what the model computes, for the keys of stages.

    A folder counts by the content of its files, a hub model by its name and commit; template (one of a file by its
    content) and its date, dtype (what "auto" stands for here), max_length and the content of the adapter count as well. A model
    behind an endpoint counts by its name and stated revision, wherever the server is. Raises UserError for a missing folder or
    template.
    """
    template = template_identity(ref.template, ref.name)
    identity: dict[str, Any] = {
        "template": template,
        "dtype": resolved_dtype(ref.dtype),
        "max_length": ref.max_length,
    }
    # The date is part of it only if it is another than the usual one, for templates that write none are most.
    if day_of_template(ref.template_date, ref.name).isoformat() != ModelRef.template_date:
        identity["template_date"] = ref.template_date
    if ref.url:
        del identity["dtype"]
        identity |= {"served": ref.name, "revision": ref.revision, "chat": ref.chat}
    found = weights_identity(ref) if ref.path else ("",)
    identity["path"] = found[0] if len(found) == 1 else list(found)
    if ref.adapter:
        identity["adapter"] = folder_hash(Path(ref.adapter).expanduser())
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def weights_identity(ref: ModelRef) -> tuple[str] | tuple[str, str | None]:
    """The content of a model's folder, as one hash, or the name and commit of a hub model; without its adapter.

    A folder counts by its content, so that a moved copy has the same key and a changed file another one. Raises UserError
    for a missing folder.
    """
    folder = local_folder(ref)
    return (folder_hash(folder),) if folder else (ref.path, _commit_of(ref.path, ref.hub_revision))


def _commit_of(name: str, revision: str | None) -> str | None:
    """The commit of a hub model, so that a branch that has moved counts as another model; None if it is unknown.

    Its configuration is brought into the local cache, so that a plan knows the model's size.
    """
    commit = commit_of("model", name, revision)
    if commit:
        _fetch_config(name, revision, commit)
    return commit


@lru_cache(maxsize=64)
def _fetch_config(name: str, revision: str | None, commit: str) -> None:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache  # and not transformers: a plan does not load it

    if isinstance(try_to_load_from_cache(name, "config.json", revision=commit), str):
        return
    try:
        with at_commit("model", name, revision):
            hf_hub_download(name, "config.json", revision=commit)
    except (OSError, ValueError):  # a model is loaded without it too, and loading says what is wrong
        pass
