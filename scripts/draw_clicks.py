# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Draw what clicks do to the mask of a scan, as in docs/method.md.

python -m scripts.draw_clicks flair.nii.gz points.json docs/images/clicks.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bundle.files import write_whole
from bundle.interaction.answering import answer, region_of
from bundle.interaction.prepare import prepare_scan
from bundle.interaction.prompts import Prompts
from bundle.interaction.state import ScanState
from bundle.report.pictures import figure_png

MASK, LESION, NORMAL = "#ff4d6d", "#ffd166", "#5ad1ff"


def _shown(axes: Axes, state: ScanState, number: int, title: str, mask: np.ndarray | None) -> None:
    """An axial slice of a scan whose third axis goes up, nose up, with the outline of a mask."""
    columns, rows = (slice(at.min() - 2, at.max() + 3) for at in np.nonzero(state.brain.any(axis=2)))
    axes.imshow(state.scan[:, :, number].T, cmap="gray", vmax=np.percentile(state.scan[state.brain], 99.5))
    if mask is not None and mask[:, :, number].any():
        axes.contour(mask[:, :, number].T, levels=[0.5], colors=MASK, linewidths=1.2)
    axes.set(title=title, xlim=(columns.start, columns.stop), ylim=(rows.stop, rows.start), xticks=[], yticks=[])


def click_figure(state: ScanState, prompts: Prompts) -> Figure:
    """A row for each click: the automatic mask, what belongs to the click, and the mask after all clicks.

    Args:
        state: of a scan whose axes go towards left, posterior and superior.
        prompts: clicks that contradict the automatic mask.
    """
    clicks = [(voxel, True) for voxel in prompts.foreground] + [(voxel, False) for voxel in prompts.background]
    before, after = state.mask > 0, answer(state, prompts).mask
    figure = Figure(figsize=(7.8, 3.0 * len(clicks)), dpi=100, layout="constrained")
    for row, (voxel, lesion) in enumerate(clicks):
        box, belongs = region_of(state, voxel, lesion, before != lesion)
        sure = np.zeros(state.shape, np.float32)
        sure[box] = belongs
        number, kind = voxel[2], "lesion" if lesion else "normal"
        panels = [figure.add_subplot(len(clicks), 3, 3 * row + column + 1) for column in range(3)]
        _shown(panels[0], state, number, f"automatic mask, click: {kind}", before)
        _shown(panels[1], state, number, "what belongs to the click", None)
        here = sure[:, :, number].T
        panels[1].imshow(np.ma.masked_equal(here, 0), cmap="viridis", vmin=0, vmax=1, alpha=0.8)
        _shown(panels[2], state, number, "mask after both clicks" if len(clicks) == 2 else "mask after", after)
        panels[0].plot(*voxel[:2], marker="+", markersize=12, markeredgewidth=2, color=LESION if lesion else NORMAL)
    return figure


if __name__ == "__main__":
    scan, points, output = sys.argv[1:]
    figure = click_figure(prepare_scan(scan), Prompts.read(points))
    write_whole(Path(output), figure_png(figure))
