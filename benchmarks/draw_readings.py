"""One picture of a comparison: how far its arms select the same examples, and whether their scores differ.

    python benchmarks/draw_readings.py outputs mads_sensitivity --baseline mads --out docs/images/mads-readings.png

Left: for each two arms, the share of the selected examples that both select (of the smaller selection; mean over the
seeds that both have). Arms stand in the order of a hierarchical clustering (average linkage, optimal leaf order), so that
readings that select alike are neighbours. Right: the difference of each arm's score to the baseline's with the board's
corrected interval, which leaves out 0 exactly where there is a verdict. Both are of the recorded runs, by the newest code.
The same figures are printed as a table in Markdown, and the overlaps are written beside the picture as CSV. With --ids,
selections that were not trained on take part in the overlaps: `selbench select ... --out FOLDER/ARM.ids.txt`.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from selbench.errors import UserError
from selbench.inspection.figures import style_axes
from selbench.numbers import bracket_text, number_text, percent_text, signed_text
from selbench.report.board import Difference, Table
from selbench.report.leaderboard import board_of
from selbench.store.files import read_json
from selbench.store.names import Names
from selbench.store.newest import current_results
from selbench.store.outputs import Outputs
from selbench.store.records import SELECTION, Record

COLOURS = {"better": "#0072B2", "worse": "#D55E00", "tied": "#777777"}
ASIDE = {"ha": "right", "va": "center", "color": "#aaaaaa"}
WORDS = {"better": "better", "worse": "worse", "tied": "not told apart"}


def main() -> None:
    """Draw the picture and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outputs", type=Path, help="the output folder of the runs")
    parser.add_argument("comparison", help="the name of the comparison")
    parser.add_argument("--baseline", required=True, help="the arm that the others are compared with")
    parser.add_argument("--out", type=Path, required=True, help="the picture, a .png file")
    parser.add_argument("--title", default="", help="the title (default: the name of the comparison)")
    parser.add_argument("--ids", type=Path, help="a folder of further selections, ARM.ids.txt")
    args = parser.parse_args()
    further = (
        {path.name.removesuffix(".ids.txt"): path for path in sorted(args.ids.glob("*.ids.txt"))} if args.ids else {}
    )
    try:
        draw(args.outputs, args.comparison, args.baseline, args.out, args.title or args.comparison, further)
    except UserError as error:
        parser.error(str(error))


def draw(folder: Path, comparison: str, baseline: str, out: Path, title: str, further: dict[str, Path]) -> None:
    """Write the picture of a comparison and its overlaps as CSV, and print its table.

    `further` are files of ids by arm, for arms that no run has trained on. Raises UserError if the comparison has no
    finished run of the baseline, or several tables.
    """
    outputs = Outputs(folder)
    found = [record for record in outputs.records.all() if record.comparison == comparison]
    records = current_results([record for record in found if record.status == "finished"]).records
    chosen, pool = _selections(records, outputs.records.root), _pool_size(records)
    if baseline not in chosen:
        raise UserError(f"no finished run of '{baseline}' in '{comparison}'; arms: {', '.join(sorted(chosen))}.")
    for arm, path in further.items():
        chosen.setdefault(arm, dict.fromkeys(chosen[baseline], frozenset(path.read_text().split())))
    tables = board_of(records, outputs.records.root, baseline=baseline).tables
    if len(tables) != 1:
        raise UserError(f"'{comparison}' has {len(tables)} tables ({'; '.join(t.name for t in tables)}): one is drawn.")
    names = list(chosen)
    shares = overlap_shares([chosen[name] for name in names])
    order = clustered(shares)
    names, shares = [names[i] for i in order], shares[np.ix_(order, order)]
    picks = len(next(iter(chosen[baseline].values())))
    chance = picks / pool if pool else math.nan
    figure = _figure(names, shares, chance, tables[0], baseline, title)
    figure.savefig(out)
    pd.DataFrame(shares, index=pd.Index(names, name="arm"), columns=names).round(4).to_csv(out.with_suffix(".csv"))
    print(_markdown(names, shares, tables[0], baseline))
    print(f"\nby chance, two selections share {percent_text(round(chance, 3))}; {out}")


def _selections(records: list[Record], runs: Path) -> dict[str, dict[int | None, frozenset[str]]]:
    """Arm -> seed -> ids, of the arms that select."""
    names, found = Names.of(records), {}
    for record in records:
        kept = read_json(runs / record.key / SELECTION) or {}
        if ids := kept.get("ids"):
            found.setdefault(names.arm(record.axes), {})[record.axes.seed] = frozenset(ids)
    return found


def _pool_size(records: list[Record]) -> int:
    """The rows of the pool as the records' settings or filters know them; 0 if they do not."""
    record = records[0]
    facts = record.filters.get("pool")
    size = record.config.get("pool", {}).get("size")
    return facts.kept if facts else int(size) if size else 0


def overlap_shares(arms: list[dict[int | None, frozenset[str]]]) -> np.ndarray:
    """A x A: the share of the smaller selection that both select, mean over common seeds; NaN without a common seed."""
    shares = np.full((len(arms), len(arms)), math.nan)
    for i, one in enumerate(arms):
        for j, other in enumerate(arms):
            pairs = [(one[seed], other[seed]) for seed in one if seed in other]
            if pairs:
                shares[i, j] = np.mean([len(a & b) / min(len(a), len(b)) for a, b in pairs])
    return shares


def clustered(shares: np.ndarray) -> list[int]:
    """An order of the arms in which those that select alike are neighbours."""
    if len(shares) < 3:
        return list(range(len(shares)))
    distances = squareform(1 - np.nan_to_num(shares), checks=False)
    order: list[int] = leaves_list(optimal_leaf_ordering(linkage(distances, "average"), distances)).tolist()
    return order


def _figure(names: list[str], shares: np.ndarray, chance: float, table: Table, baseline: str, title: str) -> Figure:
    count = len(names)
    side = max(4.0, 0.22 * count)  # of the heat map, in inches
    figure = Figure(figsize=(side + 7.2, side + 1.6), dpi=110, layout="constrained")
    figure.suptitle(title, fontsize=12, fontweight="bold")
    left, right = figure.subplots(1, 2, width_ratios=[side + 3.2, 3.4])
    labels = [f"{_short(name, baseline)}  {number}" for number, name in enumerate(names, 1)]
    image = left.imshow(100 * shares, cmap="viridis", vmin=0, vmax=100, aspect="auto")
    left.set_xticks(range(count), [str(number) for number in range(1, count + 1)], fontsize=7)
    left.set_yticks(range(count), labels, fontsize=8)
    for tick, name in zip(left.get_yticklabels(), names):
        tick.set_fontweight("bold" if name == baseline else "normal")
    left.set_title("selected examples in common", fontsize=10)
    bar = figure.colorbar(image, ax=left, location="bottom", shrink=0.6, pad=0.02)
    bar.set_label(f"% of the selection (by chance {100 * chance:.0f} %)", fontsize=8)
    if math.isfinite(chance):
        bar.ax.axvline(100 * chance, color="white", linewidth=2)
    style_axes(right)
    right.axvline(0, color="black", linewidth=1)
    for place, name in enumerate(names):
        if name == baseline:
            right.plot(0, place, "D", color="black", markersize=5)
        elif pair := difference(table, name, baseline):
            colour = COLOURS[pair.verdict]
            right.plot([pair.low_corrected, pair.high_corrected], [place, place], color=colour, linewidth=2)
            right.plot(pair.mean, place, "o", color=colour, markersize=4)
        else:
            right.text(0.98, place, "not trained on", transform=right.get_yaxis_transform(), fontsize=7, **ASIDE)
    right.set_ylim(count - 0.5, -0.5)
    right.set_yticks(range(count), [str(number) for number in range(1, count + 1)], fontsize=7)
    right.set_title(f"score less that of {_short(baseline, baseline)}\n(corrected 95 % interval)", fontsize=10)
    for verdict in ("better", "tied", "worse"):
        right.plot([], [], "o-", color=COLOURS[verdict], label=WORDS[verdict])
    right.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=3)
    return figure


def difference(table: Table, arm: str, baseline: str) -> Difference | None:
    """The arm's difference to the baseline in a table; None where they are not compared."""
    for pair in table.pairs:
        if (pair.a, pair.b) == (arm, baseline):
            return pair
        if (pair.b, pair.a) == (arm, baseline):
            return pair.turned()
    return None


def _short(name: str, baseline: str) -> str:
    """The arm without the selector's name, which all share: what is changed; `defaults` for the baseline."""
    if name == baseline:
        return "defaults"
    rest = name.removeprefix(baseline).strip()
    return rest[1:-1] if rest.startswith("(") and rest.endswith(")") and rest.count("(") == 1 else rest or name


def _markdown(names: list[str], shares: np.ndarray, table: Table, baseline: str) -> str:
    """A table of the arms, best score first: score, difference, corrected interval, verdict, overlap with the baseline."""
    own = names.index(baseline)
    rows = [
        "| changed | picks kept | score | against the defaults [corrected 95 %] | verdict |",
        "|---|---:|---:|---|---|",
    ]
    for row in table.rows:
        if row.arm not in names:
            continue
        kept = percent_text(round(float(shares[own, names.index(row.arm)]), 2))
        label = _short(row.arm, baseline)
        cells: list[Any] = [label if row.arm == baseline else f"`{label}`", kept, number_text(row.score, 3)]
        pair = difference(table, row.arm, baseline)
        if pair is None:
            cells += ["–", "–"]
        else:
            interval = bracket_text(pair.low_corrected, pair.high_corrected, 3)
            cells += [f"{signed_text(pair.mean, 3)} {interval}", WORDS[pair.verdict] if pair.tested else "not tested"]
        rows.append(f"| {' | '.join(cells)} |")
    for arm in sorted(set(names) - {row.arm for row in table.rows}):
        kept = percent_text(round(float(shares[own, names.index(arm)]), 2))
        rows.append(f"| `{_short(arm, baseline)}` | {kept} | not trained on | – | – |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
