# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Compare IterMask² with plain thresholding: ``python -m scripts.compare TEST --validation VALIDATION``.

TEST and VALIDATION are output folders of configs/evaluate.json, for the cases that are scored, and for those whose
labels choose thresholds.
"""

import fire

from bundle.evaluation import compare_evaluations

if __name__ == "__main__":
    fire.Fire(compare_evaluations)
