# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Start MONAI Label for a review. What it serves, and to whom, is decided here; nothing heavy is imported before."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bundle.errors import InputError
from bundle.label.access import TOKEN_VARIABLE, check_access


def _make_torchvision_importable() -> None:
    """Declare the operators that torchvision expects where its build does not go with torch's.

    The registry's torchvision is built for CUDA; beside a CPU build of torch it fails on import. MONAI Label imports
    it, and uses nothing of it here.
    """
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        # the declarations last as long as this object
        _make_torchvision_importable.library = library  # type: ignore[attr-defined]


def _check_installed() -> None:
    if importlib.util.find_spec("monailabel") is None:
        raise InputError(
            "MONAI Label is not installed in this environment; make one with requirements-label.txt "
            "(make .venv-label/installed) and start the server with its Python."
        )


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Keep a second server out of the same work folder.

    Raises:
        InputError: when there is one already.
    """
    from filelock import FileLock, Timeout

    from bundle.files import writable_folder

    lock = FileLock(writable_folder(work) / ".server.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(f"{work}: a server uses this folder already; stop it, or give another --work_dir.") from error
    with lock:
        yield


def _make_app_folder(folder: Path, *, writable: bool) -> None:
    """MONAI Label's generic app with this bundle in it, made anew: nobody has changed a config of it since."""
    from monailabel.main import Main

    from bundle.label.served_bundle import remove, serve_bundle

    remove(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    Main().action_apps(SimpleNamespace(name=folder.name, download=True, output=str(folder.parent), prefix=None))
    serve_bundle(folder, writable=writable)


def start(
    studies: str | Path = "demo",
    *,
    port: int = 8000,
    host: str = "127.0.0.1",
    work_dir: str | Path = "output/monai-label",
    allow: Sequence[str] = (),
    allow_remote: bool = False,
    token: str = "",
    generic: bool = False,
    split: str = "test",
    options: Mapping[str, Any] | None = None,
) -> None:
    """Start the server; it runs until it is stopped.

    Args:
        studies: folder with scans, a datalist (JSON), or the address of a DICOMweb server.
        port: to listen on.
        host: to listen on; only this machine by default.
        work_dir: where copies of the scans, the labels and the server's own files are kept.
        allow: groups of requests to open that a review does not need (:py:data:`bundle.label.routes.GROUPS`).
        allow_remote: whether ``host`` may be one that other machines reach; it needs a token, too.
        token: that each request has to bring; the environment variable ``ITERMASK2_LABEL_TOKEN`` when empty.
        generic: whether MONAI Label's generic app for bundles is served, without clicks, scribbles and the work list.
        split: of the datalist.
        options: of :py:func:`bundle.interaction.prepare_scan`, for all scans, such as ``modality``.

    Raises:
        InputError: when an option is wrong, scans cannot be read, the server would be open to others, MONAI Label is
            not installed, or another server uses the work folder.
    """
    token = token or os.environ.get(TOKEN_VARIABLE, "")
    check_access(host, port, allow, allow_remote, token)
    _check_installed()
    if generic and options:
        raise InputError(f"--{next(iter(options))}: the generic app has FLAIR weights alone; leave out --generic.")
    from bundle.cli.contrasts import which_images

    which = {"split": split, **which_images(options or {})}
    options = {"modality": which["modality"], **(options or {})}
    work = Path(work_dir).resolve()
    with _alone(work):
        _serve(str(studies), port, host, work, allow, token, generic, which, options)


def _serve(
    studies: str,
    port: int,
    host: str,
    work: Path,
    allow: Sequence[str],
    token: str,
    generic: bool,
    which: Mapping[str, Any],
    options: Mapping[str, Any],
) -> None:
    from bundle.label.served_bundle import NAME, bundle_root
    from bundle.label.studies import copy_studies, list_studies

    dicomweb = studies.startswith(("http://", "https://"))
    data = studies
    beside: dict[str, Any] = {}
    if not dicomweb:
        source = Path(studies).resolve()
        folder, beside = copy_studies(source, list_studies(source, **which), work)
        data = str(folder)
    _make_torchvision_importable()
    import uvicorn
    from monailabel.config import settings
    from monailabel.main import Main
    from monailabel.utils.others.generic import init_log_config

    from bundle.label.gate import Gate

    folder = work / "monaibundle"
    _make_app_folder(folder, writable=bool({"models", "train"} & set(allow)))
    settings.MONAI_LABEL_DICOMWEB_SEARCH_FILTER = {"Modality": "MR"}
    settings.MONAI_LABEL_DICOMWEB_CACHE_PATH = str(work / "dicom")
    settings.MONAI_LABEL_SESSIONS = "sessions" in allow
    settings.MONAI_LABEL_SESSION_PATH = str(work / "sessions")
    skip_training = "false" if "train" in allow else "true"
    conf = {"models": NAME, "zoo_source": "ngc", "sam2": "false", "skip_trainers": skip_training}
    Main().start_server_init_settings(
        SimpleNamespace(app=str(folder), studies=data, port=port, conf=list(conf.items()), dryrun=False)
    )
    # tasks that MONAI Label starts as processes of their own find the bundle, too
    os.environ["PYTHONPATH"] = f"{bundle_root()}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    from bundle.label.app import make_app

    names = {"127.0.0.1", "localhost", f"[{host}]" if ":" in host else host}
    origins = [f"http://{name}:{port}" for name in sorted(names)]
    app = make_app(folder, data, conf, origins, generic=generic, options=options, beside=beside)
    gate: Any = Gate(app, host=host, allowed=allow, token=token, dicomweb=dicomweb)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"Studies: {studies}\nCopies and labels: {data}\nServer: {address}", flush=True)
    if token:
        print(f"In a browser: {address}/?token=TOKEN\nIn 3D Slicer: {address}/token/TOKEN", flush=True)
    # no access log: addresses may hold the token
    log = init_log_config(None, str(folder), "app.log", "INFO")
    uvicorn.run(gate, host=host, port=port, log_config=log, access_log=False, server_header=False, proxy_headers=False)
