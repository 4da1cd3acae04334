# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The clinician in the loop: what is pointed at as lesion or as normal, and the mask that answers."""

from bundle.interaction.answering import Answer, answer
from bundle.interaction.prepare import ObeyPromptsd, prepare_scan
from bundle.interaction.prompts import Prompts, read_prompts
from bundle.interaction.region import click_region
from bundle.interaction.state import ScanState, Tools

__all__ = [
    "Answer",
    "ObeyPromptsd",
    "Prompts",
    "ScanState",
    "Tools",
    "answer",
    "click_region",
    "prepare_scan",
    "read_prompts",
]
