# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What a clinician points at: points and scribbles, lesion or normal, in voxels of the scan."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from bundle.data import read_volume
from bundle.errors import InputError

Voxel = tuple[int, int, int]

_EXAMPLE = '{"foreground": [[120, 88, 40]], "background": []}'


def _voxel(value: Any, name: str) -> Voxel:
    """Three whole numbers, be they written as 12 or as 12.0."""
    try:
        numbers = [float(part) for part in value] if not isinstance(value, (str, Mapping)) else []
    except (TypeError, ValueError, OverflowError):
        numbers = []
    booleans = any(isinstance(part, bool) for part in value) if numbers else False
    if len(numbers) != 3 or booleans or not all(number.is_integer() for number in numbers):
        raise InputError(
            f"The prompts' {name} holds {value!r}; give a voxel as three whole numbers, such as [12, 34, 5]."
        )
    return (int(numbers[0]), int(numbers[1]), int(numbers[2]))


def _listed(value: Any, name: str) -> Sequence[Any]:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        raise InputError(f"The prompts' {name} is {value!r}; give a list, as in {_EXAMPLE}.")
    return value


@contextmanager
def of_file(path: str | Path) -> Iterator[None]:
    """Name the file in what is said of its prompts."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {str(error)[0].lower()}{str(error)[1:]}") from None


@dataclass(frozen=True)
class Prompts:
    """Points and scribbles, in voxels (i, j, k) of the scan as it is stored; their order has no meaning.

    Args:
        foreground: voxels that are lesion.
        background: voxels that are normal.
        foreground_scribbles: of lesion, each the list of its voxels.
        background_scribbles: of what is normal.

    Raises:
        InputError: when something else than voxels is in a list, or a voxel is said to be both.
    """

    foreground: Sequence[Any] = ()
    background: Sequence[Any] = ()
    foreground_scribbles: Sequence[Any] = ()
    background_scribbles: Sequence[Any] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            name, items = field.name, _listed(getattr(self, field.name), field.name)
            if name.endswith("scribbles"):
                # an empty scribble says nothing
                drawn = [frozenset(_voxel(voxel, name) for voxel in _listed(item, name)) for item in items]
                value: Any = tuple(sorted(tuple(sorted(scribble)) for scribble in set(drawn) if scribble))
            else:
                value = tuple(sorted({_voxel(item, name) for item in items}))
            object.__setattr__(self, name, value)
        lesion, normal = ({voxel for voxels in said for voxel in voxels} for said in (self.lesion(), self.normal()))
        both = lesion & normal
        if both:
            raise InputError(
                f"The prompts say of voxel {list(min(both))} that it is lesion and that it is normal; take one away."
            )

    def lesion(self) -> list[tuple[Voxel, ...]]:
        """The prompts of lesions, each as its voxels: a point has one."""
        return [*((voxel,) for voxel in self.foreground), *self.foreground_scribbles]

    def normal(self) -> list[tuple[Voxel, ...]]:
        """The prompts of what is normal, each as its voxels."""
        return [*((voxel,) for voxel in self.background), *self.background_scribbles]

    def __bool__(self) -> bool:
        return bool(self.lesion() or self.normal())

    def check_inside(self, shape: Sequence[int]) -> None:
        """Refuse prompts outside of a scan.

        Args:
            shape: of the scan, in voxels.

        Raises:
            InputError: naming the voxel.
        """
        for prompt in (*self.lesion(), *self.normal()):
            for voxel in prompt:
                if any(not 0 <= index < size for index, size in zip(voxel, shape)):
                    raise InputError(
                        f"The prompts' voxel {list(voxel)} lies outside of the scan of {' x '.join(map(str, shape))} "
                        "voxels; indices count from 0, in the order of the axes in the file."
                    )

    @classmethod
    def from_json(cls, content: Any) -> Prompts:
        """Prompts from plain data: lists by the names of the arguments, each of which may be missing.

        Raises:
            InputError: see the class; also when there are other names.
        """
        known = [field.name for field in fields(cls)]
        if not isinstance(content, Mapping):
            raise InputError(f"The prompts are no dictionary of lists; give {_EXAMPLE}.")
        for name in content:
            if name not in known:
                raise InputError(f"The prompts hold {name!r}; give lists by the names {', '.join(known)}.")
        return cls(**content)

    @classmethod
    def read(cls, path: str | Path) -> Prompts:
        """Prompts from a JSON file, see :py:meth:`from_json`.

        Raises:
            InputError: naming the file.
        """
        try:
            content = json.loads(Path(path).read_text())
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); give a JSON file with {_EXAMPLE}.") from error
        except ValueError as error:
            raise InputError(f"{path}: this is no JSON; give a file with {_EXAMPLE}.") from error
        with of_file(path):
            return cls.from_json(content)

    def to_json(self) -> dict[str, list]:
        """Plain data that :py:meth:`from_json` reads, the same for the same prompts in any order."""
        return {
            "foreground": [list(voxel) for voxel in self.foreground],
            "background": [list(voxel) for voxel in self.background],
            "foreground_scribbles": [[list(voxel) for voxel in scribble] for scribble in self.foreground_scribbles],
            "background_scribbles": [[list(voxel) for voxel in scribble] for scribble in self.background_scribbles],
        }


def read_prompts(path: str, cases: Iterable[Mapping[str, Any]]) -> Prompts:
    """The prompts of a JSON file; none where there is no path. See :py:meth:`Prompts.read`.

    Args:
        path: of the file.
        cases: of the run that they are for.

    Raises:
        InputError: also when there are several cases, as voxels are those of one scan, or a voxel lies outside of it.
    """
    if not path:
        return Prompts()
    scans = list(cases)
    if len(scans) > 1:
        raise InputError(f"{path}: points were given for {len(scans)} scans; give the one scan that they are of.")
    prompts = Prompts.read(path)
    for scan in scans:
        try:
            shape = read_volume(scan["image"], series=str(scan.get("series") or "")).shape[1:]
        except InputError:
            # the run says so
            continue
        with of_file(path):
            prompts.check_inside(shape)
    return prompts
