# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""How the networks learn, and how thresholds are set without labels."""
