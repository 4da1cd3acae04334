# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From what the model finds to a lesion mask on the grid of the scan."""
