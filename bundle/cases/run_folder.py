# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The output folder of a run over many cases: which are finished in it, whose they are, and what failed."""

from __future__ import annotations

import errno
import json
import logging
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ignite import distributed as idist

from bundle import __version__
from bundle.cases.case import CaseFolder, finished_cases
from bundle.cases.in_the_background import Background
from bundle.data.bids import DESCRIPTION, derivatives_description
from bundle.data.case_names import safe_name
from bundle.data.datalists import PATHS
from bundle.data.scan_files import scan_sha256
from bundle.errors import InputError, input_error
from bundle.files import absolute, named_sha256, only_user, plain, sha256_of, writable_folder, write_whole

logger = logging.getLogger(__name__)

# of a whole run, beside the folders of its cases
REPORT, TABLE, ERRORS = "report.html", "volumes.csv", "errors.log"
EVALUATION = ("cases.csv", "summary.json")

# what stands at the beginning of these files; others of the same name are somebody else's
OWN = {
    REPORT: "IterMask",
    TABLE: "case,image,status",
    ERRORS: "Unexpected errors of a run of IterMask",
    EVALUATION[0]: "dice",
    EVALUATION[1]: "dice",
}

# what shards leave
OF_SHARDS = ("report_shard_*.html", "volumes_shard_*.csv", "errors_shard_*.log", ".shard_*.lock")

# bytes of a file in which these words are looked for
_BEGINNING = 8192


class Failure(NamedTuple):
    """A case that is not done, and the sentence that says why."""

    case: str
    image: str
    sentence: str


def _scan(entry: Mapping[str, Any]) -> list[str]:
    """Where a scan is: its file or folder, and which DICOM series of that."""
    return [os.path.realpath(entry["image"]), str(entry.get("series", ""))]


def _made_from(case: CaseFolder) -> dict[str, Any]:
    """What the result of a case says that it was made from; empty where there is none, or one that was cut short."""
    try:
        return dict(case.statistics().get("made_from") or {})
    except (AttributeError, InputError, TypeError, ValueError):
        return {}


def _hashes(entry: Mapping[str, Any]) -> dict[str, str] | None:
    """What is in the files of a case; None where one of them cannot be read."""
    try:
        hashes = {key: scan_sha256(entry[key]) for key in PATHS if entry.get(key)}
        hashes |= {name: scan_sha256(path) for name, path in entry.get("others", {}).items()}
        return {**hashes, "series": entry["series"]} if entry.get("series") else hashes
    except (InputError, OSError, TypeError):
        return None


def _first_cause(error: BaseException) -> BaseException:
    """What was raised first; MONAI wraps what its transforms raise."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


class RunFolder:
    """The output folder of a run.

    Args:
        output_dir: its path.
        weights: the file of the model's weights.
        settings: all that shapes a result beside the scan and the weights, by name; plain values.
        overwrite: whether to compute again what is finished: the same files, weights, settings and version.
        shard: "3/10" for the third of ten shares of the scans, each of which is a run of its own, on any computer; the
            folder is shared by them. Empty for all scans.
        finished: kinds of files of :py:class:`CaseFolder` that a finished case has.
        computed: how the networks are computed, which is told and shapes no result but by rounding; plain values.
    """

    def __init__(
        self,
        output_dir: str,
        weights: str = "",
        settings: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        shard: str = "",
        finished: Sequence[str] = ("page",),
        computed: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(absolute(output_dir))
        self.weights = Path(absolute(weights))
        self.settings = dict(settings or {})
        self.overwrite = overwrite
        self.shard = shard
        self.finished = finished
        self.computed = dict(computed or {})
        self.entries: dict[str, dict[str, Any]] = {}
        self.failures: list[Failure] = []
        self.passed_over: list[str] = []
        self.interrupted = False
        self._files_of_cases: dict[str, dict[str, str] | None] = {}
        self._background: Background | None = None

    def case(self, name: str) -> CaseFolder:
        """The folder of a case; of a study in BIDS it lies where the study has the scan."""
        return self._folder(name, self.entries.get(name, {}))

    def _folder(self, name: str, entry: Mapping[str, Any]) -> CaseFolder:
        return CaseFolder(self.path / entry.get("subfolder", "") / name)

    def file(self, name: str) -> Path:
        """Where a file of the whole run lies, ``name`` being ``REPORT``, ``TABLE`` or ``ERRORS``."""
        path = self.path / name
        return path.with_stem(f"{path.stem}_shard_{self.shard.replace('/', '_of_')}") if self.shard else path

    def _refuse_files_of_others(self) -> None:
        """Refuse to replace files that bear the names of ours and that no run has written.

        Raises:
            InputError: naming the first.
        """
        for name, words in OWN.items():
            path = self.path / name
            if not path.is_file():
                continue
            with path.open("rb") as file:
                beginning = file.read(_BEGINNING)
            if words.encode() not in beginning:
                raise InputError(
                    f"{path}: no run has written this file, and one would replace it; move it away, or choose another "
                    "--output_dir."
                )

    @contextmanager
    def _held(self) -> Iterator[None]:
        """The folder, for a run that nobody disturbs; for a shard, beside the other shards."""
        with only_user(self.path, shared=bool(self.shard)):
            self._refuse_files_of_others()
            if not self.shard:
                for pattern in (REPORT, TABLE, ERRORS, *EVALUATION, *OF_SHARDS):
                    for path in self.path.glob(pattern):
                        path.unlink()
                yield
                return
            lock = self.path / f".shard_{self.shard.replace('/', '_of_')}.lock"
            lock.touch()
            with only_user(lock):
                for name in (REPORT, TABLE, ERRORS):
                    self.file(name).unlink(missing_ok=True)
                yield

    @contextmanager
    def opened(self) -> Iterator[None]:
        """The folder for the time of a run: nobody else's, and without the report of an earlier one.

        Raises:
            InputError: when it cannot be written, or while another run uses it.
        """
        writable_folder(self.path)
        self.entries, self.failures, self.passed_over, self._files_of_cases = {}, [], [], {}
        self.interrupted = False
        if idist.get_rank() != 0:
            with self._with_background():
                yield
            return
        with self._held(), self._with_background():
            yield

    @contextmanager
    def _with_background(self) -> Iterator[None]:
        self._background = Background(self._note_failure)
        try:
            yield
        finally:
            self._background.close()
            self._background = None

    def later(self, case: str, work: Callable[[], object]) -> None:
        """Do some work on the files of a case in the background, one after the other; at once when no run is on.

        What it raises is told to :py:meth:`failed`, and no more is done for that case.
        """
        if self._background is None:
            work()
        else:
            self._background.do(case, work)

    def wait(self) -> None:
        """Until nothing is left to do :py:meth:`later`."""
        if self._background is not None:
            self._background.wait()

    def describe(self) -> None:
        """Say what the folder is where its results lie as those of a study in BIDS; an earlier description stays."""
        path = self.path / DESCRIPTION
        if any("subfolder" in entry for entry in self.entries.values()) and not path.exists():
            write_whole(path, json.dumps(derivatives_description(__version__), indent=4, ensure_ascii=False) + "\n")

    def claim(self, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Give each case of a run a name whose folder holds no result of another scan.

        Args:
            entries: one dictionary per case, with "case" and "image".

        Returns:
            list: those of the shard, "case" being short enough for a file, with folders before it where that name is
            taken.
        """
        taken = {safe_name(str(entry["case"])) for entry in entries}
        if self.shard:
            number, shards = map(int, self.shard.split("/"))
            entries = entries[number - 1 :: shards]
        claimed = []
        for entry in entries:
            wish = safe_name(str(entry["case"]))
            name = wish if self._is_free(wish, entry) else self._another_name(wish, entry, taken)
            taken.add(name)
            self.entries[name] = {**entry, "case": name}
            claimed.append(self.entries[name])
        return claimed

    def _another_name(self, wish: str, entry: Mapping[str, Any], taken: set[str]) -> str:
        parents = Path(os.path.abspath(entry["image"])).parts[1:-1]
        with_folders = ("_".join([*parents[-depth:], wish]) for depth in range(1, len(parents) + 1))
        names = (*map(safe_name, with_folders), *(f"{wish}_{number}" for number in range(2, len(taken) + 100)))
        name = next(name for name in names if name not in taken and self._is_free(name, entry))
        path = self._folder(wish, entry).path
        what = "holds the results of another scan" if path.is_dir() else "is a file"
        logger.warning(f"{path} {what}; the results of {entry['image']} go to {name}.")
        return name

    def _is_free(self, name: str, entry: Mapping[str, Any]) -> bool:
        """Whether there is no such file, and a folder holds no result or one of that very scan, under any path."""
        case = self._folder(name, entry)
        if case.path.exists() and not case.path.is_dir():
            return False
        if not case.has("statistics"):
            return True
        try:
            earlier = case.statistics()
        except InputError:
            return True
        if not isinstance(earlier, dict) or "image" not in earlier:
            return False
        made_from = _made_from(case) or ({"scan": _scan(earlier)} if earlier["image"] else {})
        if made_from.get("scan") == _scan(entry):
            return True
        files = _hashes(entry)
        return files is not None and made_from.get("files") == files

    @cached_property
    def made_with(self) -> dict[str, Any]:
        """Weights, settings and computer of the run, as they are written into the statistics of each case."""
        return plain({"weights": named_sha256(self.weights), "settings": self.settings, **self.computed})

    @cached_property
    def made_by(self) -> str:
        """A name for weights, settings and version: another one, and the results may be others."""
        weights = self.made_with["weights"]["sha256"]
        return sha256_of({"weights": weights, "settings": self.settings, "version": __version__})

    def made_from(self, case: str) -> dict[str, Any]:
        """Which scan the result of a case is of and what else it depends on, as it is written into its statistics."""
        entry = self.entries[case]
        if case not in self._files_of_cases:
            self._files_of_cases[case] = _hashes(entry)
        return {"scan": _scan(entry), "files": self._files_of_cases[case], "run": self.made_by}

    def has_result(self, case: str) -> bool:
        """Whether a case has a result of these files, weights, settings and version."""
        before = _made_from(self.case(case))
        return bool(before) and self._as_now(before, case)

    def has_earlier_result(self, case: str) -> bool:
        """Whether a case has a result of the same scan, whatever it was made with."""
        before = _made_from(self.case(case)).get("files") or {}
        now = self.made_from(case)["files"] if "image" in before else None
        return now is not None and all(before.get(key) == now.get(key) for key in ("image", "series"))

    def earlier_cases(self) -> list[CaseFolder]:
        """The cases in the folder that are no part of this run, nor of one of its scans; a shard knows of none.

        A scan may have had another name in an earlier run: the names of cases depend on what else was given.
        """
        if self.shard:
            return []
        ours = {self.case(name).path for name in self.entries}
        scans = {tuple(_scan(entry)) for entry in self.entries.values()}
        others = (case for case in finished_cases(self.path) if case.path not in ours)
        return [case for case in others if tuple(_made_from(case).get("scan") or ()) not in scans]

    def _as_now(self, made_from: Mapping[str, Any], case: str) -> bool:
        now = self.made_from(case)
        return now["files"] is not None and all(made_from.get(name) == now[name] for name in ("files", "run"))

    def is_finished(self, case: str) -> bool:
        """Whether there is nothing left to do for a case, and the user does not want it done again."""
        files = [self.case(case).file(kind) for kind in self.finished]
        # a full disk leaves empty ones
        whole = all(file.is_file() and file.stat().st_size for file in files)
        return not self.overwrite and whole and self.has_result(case)

    def failed(self, case: str, error: Exception) -> None:
        """Note that a case cannot be finished, and take away what an earlier run has left of another scan.

        An earlier result of the same scan stays; also where the scan cannot be read at all, as on a share that is away
        for a while.

        What was given to :py:meth:`later` is done before, so that no files of the case are written meanwhile.
        """
        self.wait()
        self._note_failure(case, error)

    def _note_failure(self, case: str, error: Exception) -> None:
        image = str(self.entries[case]["image"])
        cause = _first_cause(error)
        known = input_error(error) or self._disk_is_full(image, cause)
        said = " ".join(str(cause).split())
        sentence = str(known) if known else f"{image}: {type(cause).__name__}: {said} (see {self.file(ERRORS)})."
        try:
            if known is None:
                with (self.file(ERRORS)).open("a", errors="backslashreplace") as log:
                    if not log.tell():
                        log.write(f"{OWN[ERRORS]}2\n\n")
                    log.write(f"{image}\n{''.join(traceback.format_exception(error))}\n")
            if self.made_from(case)["files"] is not None and not self.has_earlier_result(case):
                self.case(case).clear()
            # pictures may have failed after the results of this run were written
            elif self.case(case).has("statistics") and not self.has_result(case):
                sentence += " The result of an earlier run stays."
        except (OSError, InputError) as fault:
            sentence += f" Nor can files be changed there: {fault}"
        logger.error(sentence)
        self.failures.append(Failure(case, image, sentence))

    def _disk_is_full(self, image: str, cause: BaseException) -> InputError | None:
        if not isinstance(cause, OSError) or cause.errno not in (errno.ENOSPC, errno.EDQUOT):
            return None
        return InputError(
            f"{image}: its results cannot be written ({cause.strerror}); free some space on the disk of {self.path} "
            "and give the same command again."
        )

    def cannot_report(self, error: OSError) -> None:
        """Note that the report of the run cannot be written."""
        sentence = f"{self.file(REPORT)}: cannot be written ({error.strerror}); free some space and run again."
        logger.error(sentence)
        self.failures.append(Failure("", "", sentence))

    def check(self) -> None:
        """Raise when cases were not done; to be called at the very end of a run.

        Raises:
            InputError: listing all of them.
        """
        number = len(self.entries)
        listed = "".join(f"\n  {failure.sentence}" for failure in self.failures)
        if self.interrupted:
            raise InputError(
                f"{self.path}: the run was interrupted; what is finished of the {number} volumes is kept, and the "
                f"same command does the rest.{listed}"
            )
        failed = sum(bool(failure.case) for failure in self.failures)
        if self.failures:
            done = "" if failed == number else ", the others are done"
            raise InputError(f"{failed} of {number} volumes failed{done}:{listed}")
