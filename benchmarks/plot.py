"""The picture of the README: leads at hand over time, against the bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.clients import LIMIT
from benchmarks.end_to_end import schedule

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.end_to_end import Case, Outcomes

LEADS = 500
STYLES = {
    "hand": ("by hand: poll, then read one by one", "#b0413e", "-"),
    "pool": ("by hand, 8 threads", "#d98c3f", "--"),
    "limiter": ("by hand, 8 threads, pyrate-limiter", "#7a7fb5", "-."),
    "ours": ("leads_pandas", "#1f6f5c", "-"),
}
WIDTHS = {"ours": 2.6}


def pace(outcomes: Outcomes, window: float, path: Path) -> None:
    """Draw the case of 500 leads."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    case: Case = next(case for case, _ in outcomes if case.leads == LEADS)
    unit, name = (60.0, "minutes") if window == 60.0 else (1.0, "seconds")
    with mpl.rc_context({"font.size": 10, "svg.hashsalt": "pace"}):
        figure = Figure(figsize=(8.0, 4.0), dpi=110, layout="constrained")
        axes = figure.add_subplot()
        for client, (label, colour, style) in STYLES.items():
            seen = outcomes[case, client]
            if seen is None:
                continue
            moments = [0.0, *sorted(seen.trace)]
            axes.step(
                [one / unit for one in moments],
                range(len(moments)),
                where="post",
                label=f"{label}: {seen.seconds / unit:.1f} {name[:3]}, {seen.refused} times 429",
                color=colour,
                linestyle=style,
                linewidth=WIDTHS.get(client, 1.5),
            )
        axes.step(
            [0.0, *(one / unit for one in schedule(case, window))],
            range(case.leads + 1),
            where="post",
            label="what no client can beat",
            color="black",
            linestyle=":",
            linewidth=1.2,
        )
        axes.axvline(case.job / unit, color="#bbbbbb", linewidth=0.8, zorder=0)
        axes.annotate(
            "the job ends",
            (case.job / unit, case.leads * 0.02),
            xytext=(4, 0),
            textcoords="offset points",
            color="#777777",
            fontsize=9,
        )
        axes.set_xlabel(f"{name} since the preview")
        axes.set_ylabel("leads at hand")
        axes.set_title(
            f"{case.leads} leads, {LIMIT} requests per {window:g} s, "
            f"a job of {case.job / unit:g} {name}"
        )
        axes.set_xlim(left=0)
        axes.set_ylim(0, case.leads * 1.04)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower right", fontsize=9)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
