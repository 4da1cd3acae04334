# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The page of a case: pictures and figures, for somebody who reads scans."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from PIL import Image

from bundle.cases.case import CaseFolder
from bundle.report.pictures import encoded, film_strip, mask_curve, montage, slice_pictures
from bundle.report.shown import read_shown

TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)


def _inline(picture: Image.Image) -> str:
    return "data:image/webp;base64," + base64.b64encode(encoded(picture, "WEBP")).decode()


def anchor(case: str) -> str:
    """Where a case is found in a page."""
    return f"case-{hashlib.sha256(case.encode(errors='backslashreplace')).hexdigest()[:12]}"


def write_case_page(case: CaseFolder) -> None:
    """Write pictures (PNG) and page (HTML, with pictures of its own) of a case that is finished into its folder."""
    statistics, volumes = case.statistics(), read_shown(case)
    # the largest area of the mask, else of what it may be
    areas = [mask.sum(axis=(0, 1)) for mask in (volumes.mask, *volumes.candidates) if mask.any()]
    largest = volumes.numbers[int(areas[0].argmax()) if areas else len(volumes.numbers) // 2]

    def drawn(number: int) -> tuple[dict[str, Image.Image], dict[str, str]]:
        pictures = slice_pictures(volumes, number)
        return pictures, {name: _inline(picture) for name, picture in pictures.items()}

    # the highest slice first; Pillow lets other threads work
    with ThreadPoolExecutor(2) as threads:
        slices = dict(zip(volumes.numbers[::-1], threads.map(drawn, volumes.numbers[::-1])))
    film = film_strip(volumes, largest)
    curve = mask_curve(statistics["refinement"]["mask_ml_by_iteration"])
    sheets = {
        "slice_pictures": montage([list(pictures.values()) for pictures, _ in slices.values()]),
        "shrinking": montage([[picture for _, picture in film]]),
        "curve": curve,
    }
    for kind, sheet in sheets.items():
        case.write(kind, encoded(sheet, "PNG"))
    page = TEMPLATES.get_template("case.html").render(
        statistics=statistics,
        anchor=anchor(case.name),
        has_label=volumes.label is not None,
        outlined=bool(volumes.candidates),
        slices={number: pictures for number, (_, pictures) in slices.items()},
        film={iteration: _inline(picture) for iteration, picture in film},
        film_slice=largest,
        curve=_inline(curve),
    )
    # last: where there is a page, the case is done
    case.write("page", page)


def section_of_page(case: CaseFolder) -> str:
    """The part of the page of a case that tells of the case (HTML)."""
    page = case.file("page").read_text(errors="replace")
    return page.partition("<main>")[2].partition("</main>")[0]
