# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The requests that are served: those of a review, and groups of others that have to be asked for."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple, Optional

GROUPS = {
    "images": "adding, replacing and deleting images of the served copy",
    "labels": "deleting labels, and notes on labels and images",
    "models": "download, upload and deletion of the weights of the served copy",
    "sessions": "images that a client uploads for one look",
    "train": "training by MONAI Label",
    "dataset": "download of all images and labels as one archive",
    "logs": "the server's log and the state of the GPU",
}

# what 3D Slicer, OHIF and MONAI Label's own client send along with "Run"
_RUN_PARAMETERS = frozenset(
    {
        *("client_id", "user", "device", "model_filename", "label_info", "label_prompt", "largest_cc"),
        *("result_extension", "result_dtype", "result_compress", "restore_label_idx"),
        *("foreground", "background"),
    }
)


class Route(NamedTuple):
    """A request that is served.

    Attributes:
        methods: of HTTP.
        path: a regular expression for the whole path, decoded.
        group: a key of :py:data:`GROUPS`, or None for what a review needs.
        files: names of the form's fields that may be files.
        parameters: keys that the form's ``params`` may set, when not all.
        query: keys that the address may set, when not all.
        dicomweb: whether it is for studies on a DICOMweb server alone.
        largest: bytes of the body.
    """

    methods: str
    path: str
    group: Optional[str] = None
    files: Collection[str] = ()
    parameters: Optional[Collection[str]] = None
    query: Optional[Collection[str]] = None
    dicomweb: bool = False
    largest: int = 2**30


ROUTES = (
    Route("GET", "/info/?"),
    Route("GET", "/datastore/?"),
    Route("GET HEAD", "/datastore/image"),
    Route("GET", "/datastore/image/info"),
    Route("GET HEAD", "/datastore/label"),
    Route("GET", "/datastore/label/info"),
    Route("PUT", "/datastore/label", files=("label",)),
    Route("POST", "/activelearning/[^/]+"),
    # scribbles come as a label
    Route("POST", "/infer/[^/]+", files=("label",), parameters=_RUN_PARAMETERS),
    Route("GET", "/model/info/[^/]+"),
    # clients ask whether a task is running
    Route("GET", "/(train|scoring)/?"),
    Route("GET", "/batch/infer"),
    Route("GET", "/ohif(/.*)?"),
    Route("GET HEAD", "/static/.*"),
    Route("GET", "/favicon.ico"),
    Route("GET", "/proxy/dicom/(wado|qido)/.*", dicomweb=True),
    Route("PUT", "/datastore/?", "images", files=("file",)),
    Route("DELETE", "/datastore/?", "images"),
    Route("PUT", "/datastore/image", "images", files=("file",)),
    Route("DELETE", "/datastore/image", "images"),
    Route("DELETE", "/datastore/label", "labels"),
    Route("PUT", "/datastore/(image|label)/info", "labels"),
    Route("PUT", "/datastore/updatelabelinfo", "labels"),
    Route("GET", "/model/[^/]+", "models"),
    Route("PUT", "/model/[^/]+", "models", files=("file",)),
    Route("DELETE", "/model/[^/]+", "models"),
    # archives are never unpacked: their members choose their own paths
    Route("PUT", "/session/?", "sessions", files=("files",), query=("expiry",)),
    Route("GET DELETE", "/session/[^/]+", "sessions"),
    Route("POST DELETE", "/train/?", "train"),
    Route("POST", "/train/[^/]+", "train"),
    Route("GET", "/datastore/dataset", "dataset"),
    Route("GET", "/logs/?", "logs"),
    Route("GET", "/logs/gpu", "logs"),
)


def find_route(method: str, path: str, routes: Sequence[Route] = ROUTES, *, dicomweb: bool) -> Optional[Route]:
    """The route of a request; None when there is none."""
    for route in routes:
        if method in route.methods.split() and re.fullmatch(route.path, path) and (dicomweb or not route.dicomweb):
            return route
    return None
