# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""MONAI Label's app, generic or with tasks of our own, with checked labels, and its errors as one sentence each."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException, MONAILabelException
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.utils import app as instances
from monailabel.utils.others.class_utils import get_class_of_subclass_from_file
from starlette.exceptions import HTTPException as StarletteHTTPException

from bundle.errors import InputError, input_error
from bundle.label.labels import CheckedLabels
from bundle.label.made_with import made_with
from bundle.label.studies import Beside
from bundle.label.tasks import Scans, make_tasks
from bundle.label.worklist import WorthALook

_log = logging.getLogger(__name__)


def _with_checked_labels(generic: type[MONAILabelApp]) -> type[MONAILabelApp]:
    class CheckedApp(generic):  # type: ignore[misc, valid-type]
        """The generic app, whose labels are checked, and which infers on what it serves alone."""

        def init_datastore(self) -> Any:
            store = super().init_datastore()
            # MONAI Label builds the store of a folder or of a DICOMweb server; either gets the same checks
            store.__class__ = type("CheckedStore", (CheckedLabels, type(store)), {})
            return store

        def _download_dcmqi_tools(self) -> None:
            # MONAI Label would fetch a program from the network and run it
            if shutil.which("itkimage2segimage") is None:
                _log.warning("itkimage2segimage is not installed: labels cannot be stored as DICOM (see the docs).")

        def infer(self, request: dict[str, Any], datastore: Any = None) -> Any:
            # MONAI Label takes any file of the machine whose path it is given
            image = request["image"]
            store = datastore or self.datastore()
            sessions = self.sessions()
            if "session" in request and sessions is not None:
                if not Path(image).resolve().is_relative_to(Path(sessions.store_path).resolve()):
                    raise HTTPException(404, "There is no such session; send the image again.")
            elif image not in store.list_images():
                raise HTTPException(404, f"{image}: there is no such image here; give a name that the server lists.")
            else:
                request = {**request, "image": store.get_image_uri(image)}
            if request["model"] not in self._infers:
                raise HTTPException(404, f"{request['model']}: there is no such model here; see /info/.")
            return super().infer(request, store)

    return CheckedApp


def _with_own_tasks(
    checked: type[MONAILabelApp], options: Mapping[str, Any], beside: Mapping[str, Beside]
) -> type[MONAILabelApp]:
    settings = {name: value for name, value in options.items() if name != "config"}
    scans, noted = Scans(options, beside), made_with(options.get("config", ()), settings)

    class ReviewApp(checked):  # type: ignore[misc, valid-type]
        """The app with tasks of our own: automatic, clicks and scribbles over one state per scan, and a work list."""

        def init_infers(self) -> dict[str, InferTask]:
            return make_tasks(scans)

        def init_strategies(self) -> dict[str, Strategy]:
            return {"worth_a_look": WorthALook(scans), **super().init_strategies()}

        def init_datastore(self) -> Any:
            store = super().init_datastore()
            store.about = lambda image, client: {"prompts": scans.asked.get((image, client)), **noted}
            return store

    return ReviewApp


def _answer_in_sentences(app: FastAPI) -> None:
    """Make every error of MONAI Label a JSON object whose ``detail`` is one sentence."""

    def answer(status: int, sentence: str) -> JSONResponse:
        return JSONResponse({"detail": f"{' '.join(sentence.split()).rstrip('.')}."}, status)

    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = " ".join(str(part) for part in first.get("loc", ()))
        return answer(422, f"{where}: {first.get('msg', 'is not valid')}")

    async def http(request: Request, error: StarletteHTTPException) -> JSONResponse:
        return answer(error.status_code, str(error.detail))

    async def missing(request: Request, error: MONAILabelException) -> JSONResponse:
        return answer(404, str(error.msg))

    async def other(request: Request, error: Exception) -> JSONResponse:
        fault = input_error(error)
        if fault is not None:
            return answer(400, str(fault))
        if isinstance(error, MONAILabelException):
            return answer(400, str(error.msg))
        return answer(500, f"The server could not do this ({type(error).__name__}); its log says why.")

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(StarletteHTTPException, http)
    for kind in (ImageNotFoundException, LabelNotFoundException):
        app.add_exception_handler(kind, missing)
    for kind in (InputError, MONAILabelException, Exception):
        app.add_exception_handler(kind, other)


def make_app(
    folder: Path,
    studies: str,
    conf: dict[str, str],
    origins: Collection[str],
    *,
    generic: bool,
    options: Mapping[str, Any],
    beside: Mapping[str, Beside],
) -> FastAPI:
    """MONAI Label's web application for one folder of studies.

    Args:
        folder: of the generic app, with the bundle in it.
        studies: folder of scans, or address of a DICOMweb server.
        conf: MONAI Label's ``--conf``.
        origins: of pages that may read answers.
        generic: whether the generic app alone is served, without tasks of our own.
        options: of :py:func:`bundle.interaction.prepare_scan`, for all scans.
        beside: what lies beside the scans, by the names of their files.

    Returns:
        FastAPI: to be put behind the gate.
    """
    from monailabel.config import settings

    settings.MONAI_LABEL_CORS_ORIGINS = list(origins)  # read when the next line is run
    from monailabel.app import app

    kind = _with_checked_labels(
        get_class_of_subclass_from_file("main", os.path.join(folder, "main.py"), "MONAILabelApp")
    )
    # MONAI Label looks here for its app before it makes one
    served = kind if generic else _with_own_tasks(kind, options, beside)
    instances.apps[f"{folder}{studies}"] = served(str(folder), studies, conf)
    _answer_in_sentences(app)
    return app
