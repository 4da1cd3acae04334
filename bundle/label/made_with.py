# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What a saved review notes of the model that answered it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from bundle.cli.bundle_files import ROOT, config_path
from bundle.errors import InputError
from bundle.files import named_sha256, plain


def made_with(config: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """What versions note: the weights that answer, and all settings of clicks.

    Raises:
        InputError: when there are no such weights.
    """
    keys = ConfigParser()
    keys.read_config([str(config_path(name)) for name in ("inference", "interaction", *config)])
    keys.update({"bundle_root": str(ROOT), **options})
    path = Path(keys.get_parsed_content("ckpt_path"))
    try:
        weights = named_sha256(path)
    except OSError as error:
        raise InputError(f"{path}: the weights cannot be read ({error.strerror}); check --ckpt_path.") from error
    return {"weights": weights, "settings": {"config": list(config), **plain(options), "click": keys["click"]}}
