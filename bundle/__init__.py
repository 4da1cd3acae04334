# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""IterMask2: brain lesions found in MRI by a model that has learnt without any lesion label."""

__version__ = "0.4.0"
