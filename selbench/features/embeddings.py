"""One vector per example: from its words, from a sentence encoder, or from the scorer's hidden states."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from selbench.api import Context, Feature, Pool
from selbench.data import hub
from selbench.data.commits import Repository, at_commit, cached_folder, commit_of, name_at_hub, settled
from selbench.errors import UserError, unknown
from selbench.features.activations import PooledActivations
from selbench.features.reducers import Pooling, Positions
from selbench.features.shards import EXAMPLES, empty_shard, merged_rows, shard_range
from selbench.features.tfidf import tfidf_vectors
from selbench.hashing import folder_hash
from selbench.models import WEIGHTS
from selbench.sizes import FeatureSize, ModelShape, PoolSize

TextPart = Literal["instruction", "question", "prompt", "response", "text"]
TEXTS = get_args(TextPart)
CHUNK = 1024  # texts encoded per step of the progress bar


@dataclass(frozen=True)
class TextEmbeddings:
    """One vector per example from a part of its text. Feature: `values` (N x d, float32).

    The encoder "tfidf" needs no model: sublinear TF-IDF of words, fitted on the distinct texts of the pool and reduced
    by an exact truncated SVD. A pool with fewer words or fewer texts than `dimension` gets fewer dimensions.

    Raises UserError for an option that is not valid and, when it computes, for an encoder that cannot be loaded.
    """

    encoder: str = "tfidf"  # "tfidf", or the name or folder of a sentence-transformers model
    dimension: int = 256  # largest d for tfidf; another encoder keeps its own dimension
    text: TextPart = "instruction"  # the attribute of Example that is embedded
    normalize: bool = True  # scale rows to length 1; the row of a text without any word stays zero

    needs_scorer: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.text not in TEXTS:
            raise UserError(unknown("text", self.text, TEXTS))
        if self.dimension < 1:
            raise UserError(f"dimension={self.dimension} is no dimension: it must be at least 1.")

    @property
    def libraries(self) -> tuple[str, ...]:
        """Whose version may change the values: another encoder's files are in its key."""
        return ("scikit-learn",) if self.encoder == "tfidf" else ()

    def identity(self) -> dict[str, Any]:
        """The fields; an encoder's folder is represented by a hash of its files, one of the hub by name and commit."""
        return {**dataclasses.asdict(self), "encoder": _encoder_identity(self.encoder)}

    def size(self, pool: PoolSize, model: ModelShape) -> FeatureSize:
        """With the dimension of all-MiniLM-L6-v2, 384, for an encoder other than tfidf: it is not loaded for a plan."""
        dimension = self.dimension if self.encoder == "tfidf" else 384
        return FeatureSize(0.0, 4.0 * dimension * pool.examples)

    def compute(self, pool: Pool, context: Context) -> Feature:
        distinct, of = self._distinct_texts(pool)
        if self.encoder == "tfidf":
            values = tfidf_vectors(distinct, self.dimension)
        else:
            values = _encoder_vectors(self.encoder, distinct, _chunks(distinct), context)
        return {"values": (_unit_rows(values) if self.normalize else values)[of]}

    @property
    def divisible(self) -> bool:
        """Whether it can be computed in shards: "tfidf" is fitted on the whole pool, another encoder reads text by text."""
        return self.encoder != "tfidf"

    def compute_shard(self, pool: Pool, context: Context, shard: int, of: int) -> Feature:
        """The vectors of the examples whose texts are in the shard's range of all chunks of texts."""
        distinct, places = self._distinct_texts(pool)
        chunks = _chunks(distinct)
        own = [chunks[number] for number in shard_range(len(chunks), shard, of)]
        if not own:
            return empty_shard()
        values = _encoder_vectors(self.encoder, distinct, own, context)
        read = np.concatenate(own)
        examples = np.flatnonzero(np.isin(places, read))
        row = np.full(len(distinct), -1)
        row[np.sort(read)] = np.arange(len(read))
        return {"values": (_unit_rows(values) if self.normalize else values)[row[places[examples]]], EXAMPLES: examples}

    def merge_shards(self, shards: Sequence[Feature], pool: Pool, context: Context) -> Feature:
        return {"values": merged_rows(shards, "values")}

    def _distinct_texts(self, pool: Pool) -> tuple[list[str], np.ndarray]:
        """The D distinct texts, in an order that does not depend on the pool's, and the place of each example's text."""
        texts = [getattr(example, self.text) for example in pool]
        distinct = sorted(set(texts))  # so that equal texts get equal vectors
        place = {text: i for i, text in enumerate(distinct)}
        return distinct, np.array([place[text] for text in texts])


@dataclass(frozen=True)
class HiddenStates:
    """The scorer's residual stream after one block, pooled. Feature: `values` (N x width, float32).

    Raises UserError for an option that is not valid and, when it computes, if `layer` names more than one block.
    """

    layer: str = "last"  # last, middle, or the 0-based number of a block
    pooling: Pooling = "mean"  # this and the next two: as in PooledActivations
    positions: Positions = "prompt"
    response: bool = False

    needs_scorer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._pooled_activations()

    def _pooled_activations(self) -> PooledActivations:
        return PooledActivations("resid", self.layer, self.positions, self.pooling, self.response)

    def size(self, pool: PoolSize, model: ModelShape) -> FeatureSize:
        return self._pooled_activations().size(pool, model)

    def compute(self, pool: Pool, context: Context) -> Feature:
        return {"values": self._of_one_block(self._pooled_activations().compute(pool, context)["values"])}

    def compute_shard(self, pool: Pool, context: Context, shard: int, of: int) -> Feature:
        found = self._pooled_activations().compute_shard(pool, context, shard, of)
        return {**found, "values": self._of_one_block(found["values"])} if "values" in found else found

    def merge_shards(self, shards: Sequence[Feature], pool: Pool, context: Context) -> Feature:
        return {"values": merged_rows(shards, "values")}

    def _of_one_block(self, values: np.ndarray) -> np.ndarray:
        """N x width, from N x 1 x width."""
        if values.shape[1] != 1:
            raise UserError(f"layer='{self.layer}' names {values.shape[1]} blocks; hidden states are taken after one.")
        one: np.ndarray = values[:, 0]
        return one


def _chunks(texts: Sequence[str]) -> list[np.ndarray]:
    """The positions of the texts from the longest to the shortest, CHUNK at a time: similar lengths keep padding short."""
    longest_first = np.array(sorted(range(len(texts)), key=lambda i: (-len(texts[i]), i)))
    return [longest_first[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]


def _encoder_vectors(encoder: str, texts: Sequence[str], chunks: Sequence[np.ndarray], context: Context) -> np.ndarray:
    """The vectors (float32) of the texts at the positions in `chunks`, in ascending order of position, from a
    sentence-transformers model."""
    model = _load_encoder(encoder)
    read = np.sort(np.concatenate(chunks))
    values: np.ndarray | None = None
    for chunk in context.progress(chunks, "embed"):
        rows = model.encode([texts[i] for i in chunk], convert_to_numpy=True, show_progress_bar=False)
        values = np.zeros((len(read), rows.shape[1]), np.float32) if values is None else values
        values[np.searchsorted(read, chunk)] = rows
    assert values is not None
    return values


def encoder_problem(encoder: str) -> str:
    """Why an encoder cannot be loaded, as a clause without an end; empty if it is there, or can be downloaded."""
    if encoder == "tfidf":
        return ""
    where = Path(encoder).expanduser()
    if where.is_dir():
        return "" if _has_weights(where) else f"the folder {where} holds no weights of an encoder"
    if _is_a_path(encoder):
        return f"the folder {where} does not exist"
    found = settled(Repository("model", _hub_name(encoder)))
    if found.problem or found.asked or _has_weights(cached_folder(found)):
        return found.problem
    if hub.reachable():
        return ""
    return f"commit {found.commit} of '{found.repository.name}' is not in the local cache, and {hub.unreachable_text()}"


def _load_encoder(encoder: str) -> Any:
    """The sentence-transformers model of this folder or name. Raises UserError if it is missing or cannot be reached."""
    where = Path(encoder).expanduser()
    if _is_a_path(encoder) and not where.is_dir():
        raise UserError(f"the folder {where} does not exist.")
    from sentence_transformers import SentenceTransformer

    try:
        if where.is_dir():
            return SentenceTransformer(str(where))
        with at_commit("model", _hub_name(encoder)) as commit:
            return SentenceTransformer(_hub_name(encoder), revision=commit)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"encoder '{encoder}' is neither a sentence-transformers folder nor reachable on the hub from here: point "
            f"at a local copy with encoder=/path/to/folder, or use encoder=tfidf, which needs no model."
        ) from error


def _encoder_identity(encoder: str) -> Any:
    """What stands for an encoder in a key."""
    where = Path(encoder).expanduser()
    if encoder == "tfidf" or _is_a_path(encoder) or where.is_dir():
        return (
            folder_hash(where) if encoder != "tfidf" and where.is_dir() else encoder
        )  # loading reports a missing folder
    return [_hub_name(encoder), commit_of("model", _hub_name(encoder))]


def names_folder(encoder: str) -> bool:
    """Whether an encoder is a folder, or can only be one, and so is not looked up on the hub."""
    return Path(encoder).expanduser().is_dir() or _is_a_path(encoder)


def _is_a_path(encoder: str) -> bool:
    return Path(encoder).expanduser().is_absolute() or encoder.startswith((".", "~"))


def _has_weights(folder: Path) -> bool:
    """Whether a folder, or one in it (an encoder is made of modules), holds a file of weights."""
    return any(path.name.endswith(WEIGHTS) for path in folder.rglob("*"))


def _hub_name(encoder: str) -> str:
    """The name of an encoder on the hub: one without an owner is of sentence-transformers' own, if there is such a one."""
    return encoder if "/" in encoder else name_at_hub("model", f"sentence-transformers/{encoder}", encoder)


def _unit_rows(values: np.ndarray) -> np.ndarray:
    """The rows scaled to length 1; a zero row stays zero."""
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    units: np.ndarray = values / np.where(lengths > 0, lengths, 1)
    return units
