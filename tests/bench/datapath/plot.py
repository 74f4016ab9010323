"""The figures as bars: one panel for each, a bar for each variant, whiskers from lowest to highest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.bench.statistic import Spread

from .measure import FIGURES

_COLOURS = {"NVGRE": "#2a6fb0", "VXLAN": "#2a6fb0", "NVGRE, 60,000 records": "#2a6fb0"}
_OTHERS = "#a0a7ad"


def draw(results: Mapping[str, Mapping[str, Spread]], target: Path) -> None:
    """Write an SVG file.

    Args:
        results: by figure and variant.
        target: the file.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "hnvlab", "font.size": 8})
    plot, panels = pyplot.subplots(1, len(results), figsize=(9, 2.2), sharey=True)
    for panel, (name, by_variant) in zip(panels, results.items(), strict=True):
        names = list(by_variant)
        spreads = list(by_variant.values())
        panel.barh(
            names,
            [spread.median for spread in spreads],
            xerr=[
                [spread.median - spread.low for spread in spreads],
                [spread.high - spread.median for spread in spreads],
            ],
            color=[_COLOURS.get(variant, _OTHERS) for variant in names],
            error_kw={"elinewidth": 0.8},
        )
        figure = FIGURES[name]
        panel.set_title(f"{name}, {figure.unit} ({figure.better} is better)", fontsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].invert_yaxis()
    plot.tight_layout()
    target.parent.mkdir(parents=True, exist_ok=True)
    plot.savefig(target, metadata={"Date": None})
    pyplot.close(plot)
