"""States of scans: made once, the newest first, a few of them kept."""

import threading
from pathlib import Path

import pytest

from bundle.data.scan_files import stamps
from bundle.label.states import States


def test_the_one_asked_for_last_is_made_first_and_a_few_are_kept():
    made, begun, go = [], threading.Event(), threading.Event()

    def prepare(name):
        begun.set()
        go.wait(10)
        if name == "bad":
            raise ValueError("no scan")
        made.append(name)
        return name.upper()

    states = States(prepare, 2)
    first = states.begin("a")
    begun.wait(10)
    others = [states.begin(name) for name in ("b", "c", "d")]
    assert states.begin("d") is others[-1] and not states.ready("a")
    go.set()
    assert [future.result(10) for future in (first, *others)] == ["A", "B", "C", "D"]
    assert made == ["a", "d", "c", "b"]
    with pytest.raises(ValueError, match="no scan"):
        states.begin("bad").result(10)
    # what failed is tried again, and what was let go is made again
    assert states.begin("bad") is not None and states.begin("a").result(10) == "A"
    states.close()
    assert made[-1] == "a" and [name for name in "abcd" if states.ready(name)] == ["a", "d"]


def test_what_is_made_from_something_else_now_is_made_anew(tmp_path):
    """An image of MONAI Label can be replaced under its name; clicks were answered on the one before."""
    image = tmp_path / "scan.nii.gz"
    states = States(lambda name: Path(name).read_text(), 3, mark=lambda name: tuple(stamps(name)))
    image.write_text("one")
    assert states.begin(str(image)).result(10) == "one" and states.ready(str(image))
    image.write_text("another")
    assert not states.ready(str(image)) and states.begin(str(image)).result(10) == "another"
    states.close()
