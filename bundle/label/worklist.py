# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Which scan is looked at next."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.tasks.strategy import Strategy

from bundle.label.tasks import Scans

_log = logging.getLogger(__name__)


class WorthALook(Strategy):
    """First the scan whose mask and score disagree most, then the one with most lesion; only scans without a label.

    Scans are looked at in the background once somebody has asked; those that are not known yet come last, by name.

    Args:
        scans: that the tasks share.
    """

    def __init__(self, scans: Scans) -> None:
        super().__init__("Most worth a look: mask and score disagree, then lesion volume")
        self.scans = scans
        self._looking = threading.Lock()

    def __call__(self, request: Mapping[str, Any], datastore: Any) -> dict[str, Any] | None:
        names = sorted(datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels")))
        if not names:
            return None
        images = {name: datastore.get_image_uri(name) for name in names}
        threading.Thread(target=self._look, args=(list(images.values()),), daemon=True).start()
        worth = {name: self.scans.worth(image) for name, image in images.items()}

        def order(name: str) -> tuple[Any, ...]:
            known = worth[name]
            return (1, 0.0, 0.0, name) if known is None else (0, -known["disagreement_ml"], -known["lesion_ml"], name)

        first = min(names, key=order)
        return {"id": first, **(worth[first] or {}), "known": sum(found is not None for found in worth.values())}

    def _look(self, images: list[str]) -> None:
        """Look at what is not known yet, unless that is being done."""
        if not self._looking.acquire(blocking=False):
            return
        try:
            for image in images:
                if self.scans.worth(image) is None:
                    try:
                        self.scans.look_at(image)
                    except Exception as error:
                        # whoever opens the scan is told
                        _log.warning("%s", error)
        finally:
            self._looking.release()
