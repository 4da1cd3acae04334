# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Several contrasts of one scan, as they are named to a subcommand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.cli.bundle_files import top_level
from bundle.cli.commands import option
from bundle.cli.types import Existing
from bundle.errors import InputError

# the config that puts contrasts together
TOGETHER = "contrasts"


def shipped() -> tuple[str, ...]:
    """The contrasts that weights ship for; of those of a scan the first one leads."""
    return tuple(top_level(["inference"])["shipped_weights"])


def which_images(options: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of what reads scans with several contrasts: the contrast that leads, and the further ones to keep.

    Args:
        options: of a run; ``modality``, and ``config``, the names of what is laid over.
    """
    kept = shipped() if TOGETHER in options.get("config", ()) else ()
    return {"modality": options.get("modality", shipped()[0]), "contrasts": kept}


def contrast_options(function: Callable) -> Callable:
    """An option for the image of each contrast that weights ship for."""
    for name in shipped()[::-1]:
        text = f"The {name} image of one scan, in the place of SCANS; with others, all are used together."
        kind = Existing(f"the {name} image")
        function = option(f"--{name}", f"image_{name}", type=kind, metavar="PATH", help=text)(function)
    return function


def take_images(values: dict[str, Any]) -> dict[str, str]:
    """The images that :py:func:`contrast_options` named, by contrast, taken out of a subcommand's values.

    Raises:
        InputError: when one is a folder of images.
    """
    images = {name: values.pop(f"image_{name}") for name in shipped()}
    images = {name: path for name, path in images.items() if path is not None}
    for name, folder in ((name, Path(path)) for name, path in images.items() if Path(path).is_dir()):
        from bundle.data.images_below import volumes_in

        if several := [Path(image).name for image in volumes_in(folder, "**/*")]:
            raise InputError(
                f"--{name} {folder}: a folder of images ({', '.join(several[:3])}); give the {name} image itself, or a "
                "folder with one DICOM series."
            )
    return images


def put_together(contrasts: Sequence[str], overlays: Sequence[str], values: dict[str, Any]) -> tuple[str, ...]:
    """The overlays of a run on scans with several contrasts; the first of them leads, unless a ``modality`` is given.

    Raises:
        InputError: when the modality that is given is none of them.
    """
    values["modality"] = values.get("modality") or contrasts[0]
    if values["modality"] not in contrasts:
        raise InputError(
            f"--modality {values['modality']}: no image of it is there ({', '.join(contrasts)} are); leave it out, or "
            "give one of these."
        )
    return (TOGETHER, *(name for name in overlays if name != TOGETHER)) if len(contrasts) > 1 else tuple(overlays)
