# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""A datastore of MONAI Label that no two threads use at once.

MONAI Label looks through its folder whenever a file changes, in a thread of its own, and its list of images and labels
is empty or of before for a moment: a request that came then lost an image that had just been sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

# what reads or changes the list
METHODS = (
    *("_init_from_datastore_file", "_reconcile_datastore", "add_image", "datalist", "get_dataset_archive"),
    *("get_image_info", "get_image_uri", "get_label_by_image_id", "get_label_info", "get_label_uri"),
    *("get_labeled_images", "get_labels_by_image_id", "get_unlabeled_images", "list_images", "remove_image"),
    *("remove_label", "save_label", "status", "update_image_info", "update_label_info"),
)


class OneAtATime:
    """Goes before a datastore, as a base class."""

    alone = threading.RLock()


def _alone(name: str) -> Callable[..., Any]:
    def method(self: OneAtATime, *args: Any, **kwargs: Any) -> Any:
        with self.alone:
            return getattr(super(OneAtATime, self), name)(*args, **kwargs)

    method.__name__ = name
    return method


for _name in METHODS:
    setattr(OneAtATime, _name, _alone(_name))
