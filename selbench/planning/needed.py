"""What the runs of a grid need and this machine does not have; what the plan rests on in its place; where both differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from selbench.api import ModelRef, Pool
from selbench.errors import NotAtHand, UserError
from selbench.models import config_of, weights_missing
from selbench.numbers import compact_count_text
from selbench.planning.demands import Cell
from selbench.planning.flops import parameters, rests_on_stated
from selbench.planning.measured import MeasuredPools
from selbench.planning.plan import Needed
from selbench.planning.stand_ins import StatedPool
from selbench.run.endpoints import check_endpoints
from selbench.run.hub_commits import is_needed, why_unknown
from selbench.run.identity import check_selector
from selbench.run.inputs import load_pool, pools_of
from selbench.settings import Run
from selbench.stated import StatedSize

KINDS = {"dataset": "data set", "model": "model"}
SAME_ROWS, SAME_TOKENS = 0.01, 0.25  # a stated figure that is off by less than this share is no contradiction


def needed_of(cells: Iterable[Cell]) -> list[Needed]:
    """What the cells that are to run need and is not at hand, each once."""
    found: dict[Needed, None] = {}
    for cell in cells:
        if cell.runs:
            found |= dict.fromkeys(
                [*_pools(cell.run), *_models(cell.run), *_selector(cell.run), *_suites(cell.run), *_commits(cell)]
            )
    return list(found)


def _pools(run: Run) -> Iterator[Needed]:
    for place, pool in stated_pools(run):
        yield Needed(f"{place} {pool.source.name}", f"data set {pool.source.hub}", pool.source.why)


def stated_pools(run: Run) -> list[tuple[str, StatedPool]]:
    """`pool` or `target` and the stand-in, for each of a run's pools that is not at hand."""
    pools = [(place.partition(".")[0], found.pool) for place, found in pools_of(run).items()]
    return [(place, pool) for place, pool in pools if isinstance(pool, StatedPool)]


def models_of(run: Run) -> dict[str, ModelRef]:
    """The models that a run loads, by the setting that names them."""
    scorer = {"scorer": run.scorer} if run.selector.uses_scorer and run.selector.takes_budget else {}
    return {"model": run.model, **({} if run.scorer == run.model else scorer)}


def _models(run: Run) -> Iterator[Needed]:
    for setting, ref in models_of(run).items():
        if problem := weights_missing(ref):
            yield Needed(f"{setting} {ref.name}", f"model {ref.path}", problem)


def _selector(run: Run) -> Iterator[Needed]:
    try:
        check_selector(run)
    except NotAtHand as missing:
        yield Needed(f"selector {run.selector.plugin_name}", str(missing))
    except UserError:  # the checks before the plan have reported it
        return


def _suites(run: Run) -> Iterator[Needed]:
    for name, suite in run.suites.items():
        try:
            if hasattr(suite, "check"):
                suite.check()
        except NotAtHand as missing:
            yield Needed(f"suite {name}", str(missing))
        except UserError:
            continue
    try:
        check_endpoints(run)
    except NotAtHand as missing:
        yield Needed(f"model {run.model.name}", str(missing))


def _commits(cell: Cell) -> Iterator[Needed]:
    """What else a key depends on: data sets of suites, and repositories that a plugin of somebody's asks for."""
    told = {"model", "scorer", *(["selector"] if list(_selector(cell.run)) else [])}
    for one in cell.hub:
        if is_needed(one) and one.part not in told:
            at = f" at revision {one.revision}" if one.revision else ""
            yield Needed(
                one.part.replace(".", " "),
                f"{KINDS[one.kind]} {one.name}{at}",
                why_unknown(one.kind, one.name, one.revision),
            )


def stated_sentences(runs: Sequence[Run]) -> list[str]:
    """What of the plan rests on stated figures, in one sentence for pools and one for models."""
    pools = dict.fromkeys(f"{place} {pool.source.sentence}" for run in runs for place, pool in stated_pools(run))
    models: dict[str, None] = {}
    for ref in (ref for run in runs for ref in models_of(run).values()):
        if rests_on_stated(ref):
            models[f"{ref.name} ({compact_count_text(parameters(ref))} parameters)"] = None
    said = []
    if pools:
        said.append(
            f"the plan rests on stated sizes, because the data are not at hand: {'; '.join(pools)}. Every row counts with "
            "the mean length, so that arms which select by length will take more or less, and templates are not counted."
        )
    if models:
        said.append(f"the plan rests on stated shapes, because no config.json is at hand: {', '.join(models)}.")
    return said


def contradiction_sentences(runs: Sequence[Run], measured: MeasuredPools) -> list[str]:
    """Where a pool or model that is at hand differs from what is stated of it: the plan rests on what is at hand."""
    said: dict[str, None] = {}
    for run in runs:
        for setting, ref in models_of(run).items():
            if differing := ref.stated.contradictions(config_of(ref) or {}, ref.path):
                text = (
                    f"{setting} {ref.name}: its config.json differs from what is stated of it: {', '.join(differing)}"
                )
                said[f"{text}; the plan rests on the config.json."] = None
        said |= dict.fromkeys(_contradictions_of_pool(run, measured))
    return list(said)


def _contradictions_of_pool(run: Run, measured: MeasuredPools) -> Iterator[str]:
    stated = getattr(run.pool, "stated", None)
    if not isinstance(stated, StatedSize) or not stated.holds_for(run.pool.hub):
        return
    pool: Pool = load_pool(run.pool).pool
    rows = min(stated.rows, run.pool.limit or stated.rows)
    found = measured.measured(pool, run.model)
    pairs = [("rows", float(len(pool)), float(rows), SAME_ROWS)]
    if found:
        tokens = found[0].in_loss().mean()
        pairs.append(("response tokens on average", float(tokens), stated.response_tokens, SAME_TOKENS))
    for what, here, said, same in pairs:
        if abs(here - said) > same * said:
            yield (
                f"pool {run.pool.name}: it has {here:,.0f} {what}, where {said:,.0f} are stated; the plan rests on what it has."
            )
