# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What the text of an option may be, and the value that it stands for."""

from __future__ import annotations

import ast
import math
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click


class Number(click.ParamType):
    """A finite number in a range.

    Args:
        low: smallest value, or None.
        high: largest value, or None.
        above: the value that it must exceed, or None.
        below: the value that it must not reach, or None.
    """

    name = "number"
    said = "a number"

    def __init__(
        self,
        low: float | None = None,
        high: float | None = None,
        above: float | None = None,
        below: float | None = None,
    ) -> None:
        self.low, self.high, self.above, self.below = low, high, above, below

    def __repr__(self) -> str:
        bounds = (("from", self.low), ("above", self.above), ("up to", self.high), ("below", self.below))
        return " ".join([self.said, *(f"{word} {bound:g}" for word, bound in bounds if bound is not None)])

    def parse(self, value: Any) -> float:
        return float(value)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            if isinstance(value, bool):
                raise ValueError
            number = self.parse(value)
        except (TypeError, ValueError, OverflowError):
            self.fail(f"give {self!r}", param, ctx)
        inside = (
            math.isfinite(number)
            and (self.low is None or number >= self.low)
            and (self.high is None or number <= self.high)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )
        if not inside:
            self.fail(f"give {self!r}", param, ctx)
        return number


class Whole(Number):
    """A whole number in a range."""

    name = "whole number"
    said = "a whole number"

    def parse(self, value: Any) -> int:
        if isinstance(value, float) and value != int(value):
            raise ValueError
        return int(value)


class Share(Number):
    """A number of people, or below 1 their share.

    Args:
        everyone: whether "all" is a value.
    """

    name = "number"
    said = "a whole number, or a share below 1,"

    def __init__(self, everyone: bool = False) -> None:
        super().__init__(low=0)
        self.everyone = everyone

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if self.everyone and value == "all":
            return value
        number = super().convert(value, param, ctx)
        if number > 1 and number != int(number):
            self.fail(f"give {self!r}", param, ctx)
        return number


class Shard(click.ParamType):
    """One of several shares, such as 3/10; empty for all of them."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        number = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", str(value))
        if value != "" and not (number and 1 <= int(number[1]) <= int(number[2])):
            self.fail("give the number of the share and how many there are, such as 3/10", param, ctx)
        return str(value)


class Word(click.Choice):
    """One of several words."""

    name = "word"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.choices:
            self.fail(f"give one of {', '.join(self.choices)}", param, ctx)
        return value


class Switch(click.ParamType):
    """True or false."""

    name = "true or false"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        try:
            return click.BOOL.convert(value, param, ctx)
        except (click.BadParameter, AttributeError):
            self.fail("give true or false", param, ctx)


class Text(click.ParamType):
    """Any text, as it is typed."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)


class Expression(Text):
    """A regular expression."""

    name = "regular expression"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            re.compile(str(value))
        except re.error as error:
            self.fail(f"not a regular expression ({error}); give one such as sub-[0-9]+", param, ctx)
        return str(value)


class Device(click.ParamType):
    """A device that this computer has, as torch names it."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        import torch

        try:
            device = torch.device(value)
        except (RuntimeError, TypeError, ValueError):
            self.fail("give cpu, cuda, or cuda:1 for the second GPU", param, ctx)
        there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
        found = there.get(device.type, 0)
        if not found or (device.index or 0) >= found:
            gpus = there["cuda"]
            have = "no GPU that can be used" if not gpus else f"{gpus} GPU{'s' * (gpus > 1)} (cuda:0 is the first)"
            self.fail(f"this computer has {have}; give another device, or leave the option out", param, ctx)
        return device


class Listing(click.ParamType):
    """A list in square brackets.

    Args:
        item: type of its items.
        length: how many there must be; None for any number but zero.
    """

    name = "list"

    def __init__(self, item: click.ParamType, length: int | None = None) -> None:
        self.item, self.length = item, length

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list:
        try:
            items = value if isinstance(value, (list, tuple)) else ast.literal_eval(str(value).strip())
        except (SyntaxError, ValueError):
            # words need no quotes
            text = str(value).strip()
            items = [part.strip() for part in text[1:-1].split(",")] if text[:1] + text[-1:] in ("[]", "()") else None
        if not isinstance(items, (list, tuple)) or not items or self.length not in (None, len(items)):
            count = "" if self.length is None else f"{self.length} "
            self.fail(f"give a list of {count}values in square brackets, such as [1,2]", param, ctx)
        return [self.item.convert(item, param, ctx) for item in items]


class Existing(click.ParamType):
    """The path of a file or folder that is there.

    Args:
        what: what it should be, for the sentence that says it is missing.
        file: whether it must be a file (True), a folder (False), or may be either (None).
    """

    name = "path"

    def __init__(self, what: str, file: bool | None = None) -> None:
        self.what, self.file = what, file

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = str(value)
        kind = {True: "file", False: "folder", None: "file or folder"}[self.file]
        try:
            there = {True: os.path.isfile, False: os.path.isdir, None: os.path.exists}[self.file](path)
        except ValueError:
            there = False
        if not path or not there:
            self.fail(f"no such {kind}; give the path of {self.what}", param, ctx)
        return path


class Scans(Existing):
    """The path of a scan or of a folder of scans, a list of such paths in square brackets, or one scan by contrast.

    The last is ``{'flair': 'a.nii.gz', 't1': 'b.nii.gz'}``.
    """

    def __init__(self) -> None:
        super().__init__("a scan, or of a folder of scans")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and not os.path.exists(value) and value.startswith(("[", "(", "{")):
            try:
                value = ast.literal_eval(value)
            except (SyntaxError, ValueError):
                # fire's lists need no quotes
                words = [part.strip() for part in value[1:-1].split(",")]
                pairs = [tuple(part.strip() for part in word.split(":", 1)) for word in words]
                value = dict(pairs) if value[0] == "{" and all(len(pair) == 2 for pair in pairs) else words
        if isinstance(value, Mapping):
            return {str(name): super(Scans, self).convert(path, param, ctx) for name, path in value.items()}
        if isinstance(value, (list, tuple)):
            return [super(Scans, self).convert(item, param, ctx) for item in value]
        return super().convert(value, param, ctx)


class OutputFolder(click.ParamType):
    """The path of a folder that exists, or can be made."""

    name = "folder"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not str(value):
            self.fail("give the path of a folder", param, ctx)
        path = Path(os.path.abspath(str(value)))
        nearest = next(p for p in (path, *path.parents) if p.exists())
        if not nearest.is_dir():
            self.fail(f"{nearest} is a file, so files cannot be written there; give the path of a folder", param, ctx)
        try:
            with tempfile.TemporaryFile(dir=nearest):
                pass
        except OSError:
            self.fail(f"files cannot be written in {nearest}; give another folder", param, ctx)
        return str(value)


class OutputFile(click.ParamType):
    """The path of a file to write.

    Args:
        ending: that its name must have.
    """

    name = "file"

    def __init__(self, ending: str = "") -> None:
        self.ending = ending

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = Path(str(value))
        if path.is_dir() or not path.name.endswith(self.ending) or not str(value):
            self.fail(f"give the path of a file{' that ends with ' + self.ending if self.ending else ''}", param, ctx)
        OutputFolder().convert(str(path.parent), param, ctx)
        return str(value)


class Optional(click.ParamType):
    """A value of another type, or none."""

    def __init__(self, kind: click.ParamType) -> None:
        self.kind, self.name = kind, kind.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return None if value is None or str(value).lower() in ("none", "null") else self.kind.convert(value, param, ctx)
