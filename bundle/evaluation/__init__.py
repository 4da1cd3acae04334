# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""How good the masks are, and what simpler methods give."""
