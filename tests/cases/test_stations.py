# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""How long each station of a scan takes."""

import time

import pytest
from monai.transforms import CopyItemsd, Lambdad

from bundle.cases import TimedCompose


def wait(value):
    time.sleep(0.02)
    return value


def test_the_data_tell_how_long_each_transform_took():
    given = {"image": 1, "stations": {"inferer": {"seconds": 5.0, "processor_seconds": 9.0}}}
    steps = [Lambdad("image", func=wait), CopyItemsd("image", names="copy"), Lambdad("copy", func=wait)]
    found = TimedCompose(steps)(given)
    assert found["copy"] == 1 and "copy" not in given and set(given["stations"]) == {"inferer"}
    assert set(found["stations"]) == {"inferer", "Lambdad", "CopyItemsd"}
    # both transforms of a class together; a process that waits does not work
    assert found["stations"]["Lambdad"]["seconds"] >= 0.04
    assert found["stations"]["inferer"] == {"seconds": 5.0, "processor_seconds": 9.0}


def test_a_transform_that_fails_is_named_as_in_compose():
    with pytest.raises(RuntimeError, match="Lambdad"):
        TimedCompose([Lambdad("image", func=lambda value: value / 0)])({"image": 1})
