# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Pictures of a case: slices with the outline of the mask, error map, reconstruction, and the shrinking mask.

All slices are axial and shown as radiologists do: nose up, the patient's left on the right.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from skimage import measure

from bundle.report.volumes import Volumes

HEIGHT = 300  # of a picture, in pixels


OUTLINE = "#ff4d6d"


EXPERT = "#5ad1ff"


HIDDEN = np.array([255, 77, 109], dtype=float)


def encoded(picture: Image.Image, kind: str) -> bytes:
    """The file of a picture, ``kind`` being "PNG" or "JPEG"."""
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **({"quality": 90} if kind == "JPEG" else {}))
    return buffer.getvalue()


def figure_png(figure: Figure) -> bytes:
    """The PNG file of a figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def highest_error(volumes: Volumes) -> float:
    """The error that is drawn brightest: the 99.8th percentile of the brain."""
    return float(np.percentile(volumes.error[volumes.brain], 99.8))


class Window(NamedTuple):
    """The part of a slice that is shown, and the intensities from black to white."""

    box: tuple[slice, slice]
    low: float
    high: float


def chosen_slices(volumes: Volumes, number: int = 5) -> list[int]:
    """The slices that matter: spread over those with a lesion, weighted by area; over the whole brain without one."""
    area = volumes.mask.sum(axis=(0, 1)).astype(float)
    if not area.any():
        area = volumes.brain.sum(axis=(0, 1)).astype(float)
    share = np.cumsum(area) / area.sum()
    chosen = {int(np.searchsorted(share, (i + 0.5) / number)) for i in range(number)}
    return sorted({*chosen, int(area.argmax())})


def window_of(volumes: Volumes, margin_mm: float = 6.0) -> Window:
    """A box around the brain, and the range from 0 to the 99.5th percentile of the brain."""
    inside = volumes.brain
    box = []
    for axis in (0, 1):
        places = np.flatnonzero(inside.any(axis=(1 - axis, 2)))
        margin = round(margin_mm / volumes.spacing[axis])
        box.append(slice(max(0, places[0] - margin), min(inside.shape[axis], places[-1] + margin + 1)))
    return Window((box[0], box[1]), 0.0, float(np.percentile(volumes.image[inside], 99.5)))


def _size(window: Window, spacing: Sequence[float]) -> tuple[int, int]:
    """Width and height in pixels of the shown box, in square millimetres on the screen."""
    width, height = ((part.stop - part.start) * mm for part, mm in zip(window.box, spacing))
    return max(1, round(HEIGHT * width / height)), HEIGHT


def _grey(values: np.ndarray, window: Window) -> np.ndarray:
    scaled = np.clip((values - window.low) / max(window.high - window.low, 1e-6), 0, 1)
    return np.repeat((scaled * 255).astype(np.uint8)[..., None], 3, axis=-1)


def _picture(pixels: np.ndarray, window: Window, spacing: Sequence[float]) -> Image.Image:
    """From x, y, colour to a picture with rows from anterior to posterior."""
    return Image.fromarray(pixels.transpose(1, 0, 2)).resize(_size(window, spacing), Image.Resampling.BICUBIC)


def _outline(picture: Image.Image, mask: np.ndarray, colour: str) -> None:
    draw = ImageDraw.Draw(picture)
    # a pad closes contours at the edge of the box; pixel centres lie at half integers
    for contour in measure.find_contours(np.pad(mask.T.astype(float), 1), 0.5):
        rows = (contour[:, 0] - 0.5) * picture.height / mask.shape[1]
        columns = (contour[:, 1] - 0.5) * picture.width / mask.shape[0]
        draw.line(list(zip(columns, rows)), fill=colour, width=2)


def _letters(picture: Image.Image) -> None:
    draw = ImageDraw.Draw(picture)
    draw.text((4, picture.height // 2 - 6), "R", fill="#9aa4b2")
    draw.text((picture.width - 12, picture.height // 2 - 6), "L", fill="#9aa4b2")


def slice_pictures(volumes: Volumes, z: int, window: Window, highest: float) -> dict[str, Image.Image]:
    """One slice: "scan", "outline", "error" (inferno, up to ``highest``) and "reconstruction"."""
    box = (*window.box, z)
    mask = volumes.mask[box] > 0
    scan = _picture(_grey(volumes.image[box], window), window, volumes.spacing)
    outlined = scan.copy()
    if volumes.label is not None:
        _outline(outlined, volumes.label[box] > 0, EXPERT)
    _outline(outlined, mask, OUTLINE)
    heat = matplotlib.colormaps["inferno"](np.clip(volumes.error[box] / max(highest, 1e-6), 0, 1))
    error = _picture((heat[..., :3] * 255).astype(np.uint8), window, volumes.spacing)
    reconstruction = _picture(_grey(volumes.reconstruction[box], window), window, volumes.spacing)
    pictures = {"scan": scan, "outline": outlined, "error": error, "reconstruction": reconstruction}
    for picture in pictures.values():
        _letters(picture)
    return pictures


def film_strip(volumes: Volumes, z: int, window: Window, number: int = 8) -> list[tuple[int, Image.Image]]:
    """The shrinking mask of one slice: pairs of iteration and picture, what is hidden in red."""
    box = (*window.box, z)
    hidden = volumes.iterations[box]
    last = int(hidden.max())
    # most of the shrinking happens early: iterations are chosen evenly on a logarithmic scale
    frames = sorted({round(t) for t in np.geomspace(1, max(1, last), number)} | {last} - {0})
    grey = _grey(volumes.image[box], window).astype(float)
    strip = []
    for iteration in frames:
        covered = (hidden >= iteration)[..., None]
        pixels = np.where(covered, 0.45 * grey + 0.55 * HIDDEN, grey)
        strip.append((iteration, _picture(pixels.astype(np.uint8), window, volumes.spacing)))
    return strip


def mask_curve(millilitres: Sequence[float]) -> Image.Image:
    """Volume of the mask by iteration."""
    figure = Figure(figsize=(6, 2.6), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(range(1, len(millilitres) + 1), millilitres, color=OUTLINE, marker="o", markersize=3)
    axes.set(xlabel="iteration", ylabel="hidden volume (ml)", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return Image.open(io.BytesIO(figure_png(figure))).convert("RGB")


def montage(rows: Sequence[Sequence[Image.Image]], gap: int = 4) -> Image.Image:
    """Rows of pictures as one picture."""
    width = max(sum(picture.width + gap for picture in row) for row in rows) + gap
    height = sum(max(picture.height for picture in row) + gap for row in rows) + gap
    sheet = Image.new("RGB", (width, height))
    y = gap
    for row in rows:
        x = gap
        for picture in row:
            sheet.paste(picture, (x, y))
            x += picture.width + gap
        y += max(picture.height for picture in row) + gap
    return sheet
