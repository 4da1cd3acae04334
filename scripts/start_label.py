# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Serve this bundle with MONAI Label: ``python -m scripts.start_label STUDIES``.

To be run in the environment of requirements-label.txt, from the root of the bundle.
"""

import sys
from pathlib import Path

import fire
import torch

from bundle.data.scans import inference_data

NAME = "itermask2_segmentation"  # "segmentation" in the name makes MONAI Label serve it as such


def _make_torchvision_importable() -> None:
    """Declare the operators that torchvision expects where its build does not go with torch's.

    The registry's torchvision is built for CUDA; beside a CPU build of torch it fails on import. MONAI Label imports
    it, and uses nothing of it here.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        # the declarations last as long as this object
        _make_torchvision_importable.library = library


def _monailabel(*arguments: str) -> None:
    """What typing ``monailabel ARGUMENTS`` does, in this process."""
    from monailabel.main import Main

    sys.argv = ["monailabel", *arguments]
    Main().run()


def _make_app(root: Path, folder: Path) -> Path:
    """MONAI Label's generic app for bundles, with this bundle linked into it."""
    if not (folder / "monaibundle" / "main.py").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _monailabel("apps", "--download", "--name", "monaibundle", "--output", str(folder))
    link = folder / "monaibundle" / "model" / NAME
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(root, target_is_directory=True)
    return folder / "monaibundle"


def _make_studies(studies: Path, folder: Path) -> Path:
    """The folder itself where images lie in it; else a folder of links, since MONAI Label looks into no subfolder."""
    if any(path.name.endswith((".nii", ".nii.gz")) for path in studies.iterdir()):
        return studies
    folder.mkdir(parents=True, exist_ok=True)
    for volume in inference_data(image=str(studies)):
        link = folder / f"{volume['case']}.nii.gz"
        link.unlink(missing_ok=True)
        link.symlink_to(Path(volume["image"]).resolve())
    return folder


def start(
    studies: str = "demo", port: int = 8000, host: str = "127.0.0.1", work_dir: str = "output/monai-label"
) -> None:
    """Start the server; it runs until it is stopped.

    Args:
        studies: folder with skull-stripped NIfTI volumes, or the address of a DICOMweb server.
        port: to listen on.
        host: to listen on; only this machine by default.
        work_dir: where the app, and links to volumes in subfolders, are kept.
    """
    _make_torchvision_importable()
    root, work = Path.cwd(), Path(work_dir).resolve()
    app = _make_app(root, work)
    address = studies.startswith(("http://", "https://"))
    data = studies if address else _make_studies(Path(studies).resolve(), work / "studies")
    settings = {"models": NAME, "zoo_source": "ngc", "sam2": "false", "skip_trainers": "true"}
    options = [part for name, value in settings.items() for part in ("--conf", name, value)]
    print(f"Studies: {data}\nServer: http://{host}:{port}", flush=True)
    server = ["--app", str(app), "--studies", str(data), "--host", host, "--port", str(port)]
    _monailabel("start_server", *server, *options)


if __name__ == "__main__":
    fire.Fire(start)
