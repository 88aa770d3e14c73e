"""Autoencoders through sae-lens: the repository one is in, what its configuration says, and its weights."""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from selbench.data.commits import Repository, at_commit, cached_commit, settled
from selbench.errors import NotAtHand, UserError, unknown

PREFIX = "sae_lens:"
KINDS = ("standard", "topk", "jumprelu")
T = TypeVar("T")


def release_and_id(path: str) -> tuple[str, str]:
    """The release and the id in sae_lens:RELEASE:SAE_ID. Raises UserError if one is missing."""
    release, _, name = path.removeprefix(PREFIX).partition(":")
    if not (release and name):
        raise UserError(f"autoencoder={path}: write sae_lens:RELEASE:SAE_ID.")
    return release, name


def require_sae_lens(path: str) -> None:
    """Raise NotAtHand if sae-lens, which an optional extra installs, is not there."""
    try:
        there = importlib.util.find_spec("sae_lens") is not None
    except ValueError:  # a module without a specification, as one made by hand
        there = True
    if not there:
        raise NotAtHand(f"autoencoder={path} is loaded by sae-lens: pip install 'selbench[sae]'.")


def repository_of(path: str) -> str:
    """The repository of the hub that sae-lens reads this autoencoder from.

    Raises UserError for a release or an id that the list in the installed sae-lens does not have. A release may also be
    the name of a repository (owner/name), as sae-lens allows.
    """
    require_sae_lens(path)
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    release, name = release_and_id(path)
    releases = get_pretrained_saes_directory()
    if release not in releases:
        if "/" in release:
            return release
        raise UserError(f"autoencoder={path}: sae-lens lists no release '{release}'. {_nearest(release, releases)}")
    if name not in (known := releases[release].saes_map):
        raise UserError(f"autoencoder={path}: release '{release}' has no autoencoder '{name}'. {_nearest(name, known)}")
    return str(releases[release].repo_id)


def configuration(path: str) -> dict[str, Any]:
    """What sae-lens knows of it before its weights: architecture, d_in, d_sae, hook_name, model_name and more.

    The configuration's file is downloaded if need be. Raises NotAtHand if it cannot be read, UserError for an unknown kind.
    """
    release, name = release_and_id(path)
    repository = repository_of(path)
    from sae_lens.loading.pretrained_sae_loaders import load_sae_config_from_huggingface

    found = _at_its_commit(path, repository, lambda: load_sae_config_from_huggingface(release, name))
    about = {**found, **(found.get("metadata") or {})}
    if about.get("architecture") not in KINDS:
        raise UserError(f"autoencoder={path}: {unknown('architecture', str(about.get('architecture')), KINDS)}")
    return about


def load_weights(path: str) -> tuple[dict[str, Any], str]:
    """W_enc and W_dec (L x d), b_enc (L), b_dec (d), `k` (0 if it is not TopK), `jump` (L) of a JumpReLU; and its hook.

    Raises UserError if sae-lens cannot load it, or for a kind of autoencoder that is not supported.
    """
    require_sae_lens(path)
    release, name = release_and_id(path)
    repository = repository_of(path)
    from sae_lens import SAE

    loaded = _at_its_commit(path, repository, lambda: SAE.from_pretrained(release, name, device="cpu"))
    sae: Any = loaded[0] if isinstance(loaded, tuple) else loaded  # versions before 6 return a tuple
    cfg = sae.cfg
    kind = cfg.architecture() if callable(cfg.architecture) else cfg.architecture
    if kind not in KINDS or cfg.normalize_activations != "none":
        raise UserError(
            f"autoencoder={path} is {kind}, normalize_activations={cfg.normalize_activations}; "
            f"valid: {', '.join(KINDS)}; none."
        )
    if getattr(cfg, "rescale_acts_by_decoder_norm", False):
        sae.fold_W_dec_norm()  # its TopK compares activations as if decoder rows had length 1
    weights = {n: getattr(sae, n).detach().float().cpu().numpy() for n in ("W_enc", "b_enc", "W_dec", "b_dec")}
    if not cfg.apply_b_dec_to_input:  # it encodes W x + b, we encode W (x - b_dec) + b
        weights["b_enc"] = weights["b_enc"] + weights["b_dec"] @ weights["W_enc"]
    weights["W_enc"] = weights["W_enc"].T
    jump = {"jump": sae.threshold.detach().float().cpu().numpy()} if kind == "jumprelu" else {}
    hook = getattr(getattr(cfg, "metadata", cfg), "hook_name", "") or ""
    return {**weights, **jump, "k": int(getattr(cfg, "k", 0) or 0)}, hook


def layer_of_hook(hook: str) -> int:
    """The block whose output a TransformerLens hook reads: its own block (resid_post) or the one before (resid_pre).

    Raises UserError for any other hook.
    """
    named = re.fullmatch(r"blocks\.(\d+)\.hook_resid_(pre|post)", hook)
    layer = int(named.group(1)) - (named.group(2) == "pre") if named else -1
    if layer < 0:
        raise UserError(f"the autoencoder reads '{hook}', which is not the output of a block.")
    return layer


def _nearest(name: str, valid: Iterable[str]) -> str:
    """The most similar of hundreds of valid names, as a sentence."""
    names = sorted(valid)
    found = difflib.get_close_matches(name, names, n=4, cutoff=0.3)
    return f"Similar: {', '.join(found or names[:4])} ({len(names):,} in all)."


def _at_its_commit(path: str, repository: str, load: Callable[[], T]) -> T:
    """What `load` gives. Raises NotAtHand if it fails, UserError where the hub gave it another commit than the key names.

    sae-lens takes no revision: it reads the main branch as it is when it asks.
    """
    wanted = settled(Repository("model", repository))
    try:
        with at_commit("model", repository):
            found = load()
            got = cached_commit(wanted.repository)
    except Exception as error:  # errors for a missing file, a gate or no network have no common class
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise NotAtHand(
            f"autoencoder={path} can be neither found nor downloaded: sae-lens says of '{repository}': {lines[0]}"
        ) from error
    if wanted.commit and got and got != wanted.commit:
        raise UserError(
            f"autoencoder={path}: '{repository}' is to be read at its commit {wanted.commit}, but sae-lens reads its main "
            f"branch, which is at {got} now."
        )
    return found
