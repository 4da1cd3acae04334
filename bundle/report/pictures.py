# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Pictures of a case: slices with the outline of the mask, error map, reconstruction, and the shrinking mask.

All slices are axial and shown as radiologists do: nose up, the patient's left on the right. Each picture says what it
shows, the number of its slice (counted from 0 at the lowest), right and left, and a length in millimetres.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from skimage import measure

from bundle.report.shown import Shown

# in pixels: a picture without its caption, the caption, letters
HEIGHT, CAPTION, LETTERS = 340, 34, 26

OUTLINE, EXPERT, BRAIN, CANDIDATE = "#ff4d6d", "#5ad1ff", "#ffd166", "#ffe600"
HIDDEN = np.array([255, 77, 109], dtype=float)
PALE = "#e4e9ef"


def encoded(picture: Image.Image, kind: str) -> bytes:
    """The file of a picture, ``kind`` being "PNG" or "WEBP"."""
    buffer = io.BytesIO()
    # tighter packing takes twice the time for a few per cent of the size
    picture.save(buffer, format=kind, **({"quality": 75, "method": 3} if kind == "WEBP" else {"compress_level": 3}))
    return buffer.getvalue()


def figure_png(figure: Figure) -> bytes:
    """The PNG file of a figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _grey(values: np.ndarray, white: float) -> np.ndarray:
    scaled = np.clip(values / max(white, 1e-6), 0, 1)
    return np.repeat((scaled * 255).astype(np.uint8)[..., None], 3, axis=-1)


def _picture(pixels: np.ndarray, spacing: Sequence[float]) -> Image.Image:
    """From x, y, colour to a picture with rows from anterior to posterior, in square millimetres."""
    width, height = (size * mm for size, mm in zip(pixels.shape, spacing))
    size = (max(1, round(HEIGHT * width / height)), HEIGHT)
    return Image.fromarray(pixels.transpose(1, 0, 2)).resize(size, Image.Resampling.BICUBIC)


def _draw_outline(picture: Image.Image, mask: np.ndarray, colour: str, width: int = 2) -> None:
    draw = ImageDraw.Draw(picture)
    # a pad closes contours at the edge of the box; pixel centres lie at half integers
    for contour in measure.find_contours(np.pad(mask.T.astype(float), 1), 0.5):
        rows = (contour[:, 0] - 0.5) * picture.height / mask.shape[1]
        columns = (contour[:, 1] - 0.5) * picture.width / mask.shape[0]
        draw.line(list(zip(columns, rows)), fill=colour, width=width)


def _scale_mm(width_mm: float) -> int:
    """A round length of about a third of the picture."""
    return max((mm for mm in (1, 2, 5, 10, 20, 50, 100) if mm <= width_mm / 3), default=1)


def _told(picture: Image.Image, words: str, width_mm: float) -> Image.Image:
    """A picture below a line of words, with right, left and a scale drawn into it."""
    told = Image.new("RGB", (picture.width, picture.height + CAPTION))
    told.paste(picture, (0, CAPTION))
    draw = ImageDraw.Draw(told)
    size = LETTERS - 4
    while size > 8 and draw.textlength(words, ImageFont.load_default(size)) > picture.width - 10:
        size -= 1
    draw.text((6, CAPTION // 2), words, PALE, ImageFont.load_default(size), anchor="lm")
    letters = ImageFont.load_default(LETTERS)
    edge: dict[str, Any] = {"stroke_width": 2, "stroke_fill": "black"}
    middle = CAPTION + picture.height // 2
    draw.text((6, middle), "R", PALE, letters, anchor="lm", **edge)
    draw.text((picture.width - 6, middle), "L", PALE, letters, anchor="rm", **edge)
    length = _scale_mm(width_mm)
    right, bottom = picture.width - 8, told.height - 9
    draw.line([(right - round(length * picture.width / width_mm), bottom), (right, bottom)], PALE, 4)
    draw.text((right, bottom - 6), f"{length} mm", PALE, ImageFont.load_default(18), anchor="rb", **edge)
    return told


def _with_outline(volumes: Shown, image: np.ndarray, i: int) -> Image.Image:
    """A slice of a further contrast, with the outline of the mask."""
    picture = _picture(_grey(image[..., i], 1.0), volumes.spacing)
    _draw_outline(picture, volumes.mask[..., i], OUTLINE)
    return picture


def slice_pictures(volumes: Shown, number: int) -> dict[str, Image.Image]:
    """One slice: "scan", "outline", the further contrasts with the outline, "error" (inferno) and "reconstruction".

    Args:
        volumes: that are shown.
        number: of the slice in the scan, one of those that are shown.
    """
    i = volumes.numbers.index(number)
    scan = _picture(_grey(volumes.image[..., i], volumes.white), volumes.spacing)
    outlined = scan.copy()
    if volumes.brain is not None:
        _draw_outline(scan, volumes.brain[..., i], BRAIN)
    for candidate in volumes.candidates:
        _draw_outline(outlined, candidate[..., i], CANDIDATE, width=1)
    if volumes.label is not None:
        _draw_outline(outlined, volumes.label[..., i], EXPERT)
    _draw_outline(outlined, volumes.mask[..., i], OUTLINE)
    heat = matplotlib.colormaps["inferno"](np.clip(volumes.error[..., i] / max(volumes.brightest, 1e-6), 0, 1))
    error = _picture((heat[..., :3] * 255).astype(np.uint8), volumes.spacing)
    reconstruction = _picture(_grey(volumes.reconstruction[..., i], volumes.white), volumes.spacing)
    outline = "model and expert" if volumes.label is not None else "lesion outline"
    pictures = {
        "scan": (scan, f"slice {number}: scan" if volumes.brain is None else f"slice {number}: brain"),
        "outline": (outlined, f"slice {number}: {outline}"),
        **{
            name: (_with_outline(volumes, other, i), f"slice {number}: {name}")
            for name, other in volumes.others.items()
        },
        "error": (error, f"slice {number}: error"),
        "reconstruction": (reconstruction, f"slice {number}: expected"),
    }
    width_mm = volumes.image.shape[0] * volumes.spacing[0]
    return {name: _told(picture, words, width_mm) for name, (picture, words) in pictures.items()}


def film_strip(volumes: Shown, number: int, frames: int = 6) -> list[tuple[int, Image.Image]]:
    """The shrinking mask of one slice: pairs of iteration and picture, what is hidden in red."""
    i = volumes.numbers.index(number)
    hidden = volumes.iterations[..., i]
    last = int(hidden.max())
    # most of the shrinking happens early: iterations are chosen evenly on a logarithmic scale
    chosen = sorted({round(t) for t in np.geomspace(1, max(1, last), frames)} | {last} - {0})
    grey = _grey(volumes.image[..., i], volumes.white).astype(float)
    width_mm = volumes.image.shape[0] * volumes.spacing[0]
    strip = []
    for iteration in chosen:
        covered = (hidden >= iteration)[..., None]
        pixels = np.where(covered, 0.45 * grey + 0.55 * HIDDEN, grey)
        picture = _picture(pixels.astype(np.uint8), volumes.spacing)
        strip.append((iteration, _told(picture, f"slice {number}: hidden, iteration {iteration}", width_mm)))
    return strip


def mask_curve(millilitres: Sequence[float]) -> Image.Image:
    """Volume of the mask by iteration."""
    figure = Figure(figsize=(6, 2.6), dpi=110)
    # a layout that looks for its margins would draw everything twice
    axes = figure.add_axes((0.11, 0.2, 0.87, 0.75))
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
