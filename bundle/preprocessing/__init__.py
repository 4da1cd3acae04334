# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From a scan to what the networks see."""
