# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The cases of a run and their results on disk."""

from bundle.cases.case import CaseFolder, finished_cases
from bundle.cases.evaluator import CaseEvaluator
from bundle.cases.run_folder import RunFolder
from bundle.cases.save import SaveCased
from bundle.cases.stations import TimedCompose
from bundle.cases.stream import VolumeStream

__all__ = ["CaseEvaluator", "CaseFolder", "RunFolder", "SaveCased", "TimedCompose", "VolumeStream", "finished_cases"]
