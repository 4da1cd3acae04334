# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""NiiVue, the viewer (BSD-2), taken from the package ipyniivue that installation fetches."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from bundle.errors import InputError


def niivue_module() -> str:
    """NiiVue as a JavaScript module that exports ``Niivue``.

    The module in ipyniivue holds all of NiiVue, and exports the widget for notebooks alone; here it exports NiiVue's
    class, too.

    Raises:
        InputError: when ipyniivue is not installed, or one whose module is made in another way.
    """
    found = importlib.util.find_spec("ipyniivue")
    if found is None or not found.origin:
        raise InputError("The viewer is not installed; run pip install ipyniivue==2.4.4 (which brings NiiVue).")
    path = Path(found.origin).parent / "static" / "widget.js"
    text = path.read_text()
    # the object whose canvas the widget attaches, and its class; the file is long, and one line
    at = text.find(".attachToCanvas(", text.find("_canvas_attached") - 500)
    name = re.search(r"[\w$]+$", text[max(0, at - 20) : at]) if at > 0 else None
    begin = text.rfind(f"{name[0]}=new ", 0, at) if name else -1
    made = re.match(r"[\w$]+=new ([\w$]+)\(", text[begin : begin + 80]) if begin > 0 else None
    head, export, tail = text.rpartition("export{")
    if made is None or not export:
        raise InputError(f"{path}: NiiVue's class is not found in it; install ipyniivue==2.4.4.")
    return f"{head}{export}{made[1]} as Niivue,{tail}"
