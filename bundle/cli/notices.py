# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The log of a run is what its user needs: without the notices of libraries."""

from __future__ import annotations

import logging
import warnings

# modules of ignite and MONAI that tell of their own steps; a fault is shown when it has come out of the engine
_TALKATIVE = {"engine", "workflow", "checkpoint_loader", "checkpoint_saver"}


def _is_of_use(record: logging.LogRecord) -> bool:
    return record.module not in _TALKATIVE


def _is_no_fault(record: logging.LogRecord) -> bool:
    return not record.exc_info


def silence_loggers() -> None:
    """From now on, leave out which files MONAI reads, and which decoders it would have liked."""
    for name in ("bundle.scripts", "bundle.workflows", "data.nvimgcodec_pydicom_plugin"):
        logging.getLogger(f"monai.{name}").setLevel(logging.ERROR)


def silence_notices() -> None:
    """From now on, leave out warnings for programmers, and what engines say of their own steps."""
    warnings.simplefilter("ignore")
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_of_use)
    # this logger has a handler of its own
    logging.getLogger("monai.handlers.StatsHandler").addFilter(_is_no_fault)
    silence_loggers()
