"""Kill a run again and again, at random moments, and look at what it leaves; takes minutes, so it is no test.

``python -m tests.kill_runs WEIGHTS --kills 20`` with weights of the small networks of the tests, such as those that the
fixture ``trained`` makes.

After each kill: every mask, map, table and statistics that is there is whole, and a case with statistics has all of its
volumes. The same command then does the rest: all masks are those of a run that nobody killed, and what was finished
before the kill is not computed again.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.flows import command
from tests.heads import write_head
from tests.programs import Program, python

SCANS = 4


def whole_files(output: Path) -> dict[str, bytes]:
    """Statistics of the finished cases; all that is there can be read."""
    for path in output.glob("*/*.nii.gz"):
        np.asarray(nib.load(path).dataobj)
    statistics = {path.parent.name: path.read_bytes() for path in output.glob("*/*_statistics.json")}
    for case, content in statistics.items():
        json.loads(content)
        for name in ("mask", "error", "reconstruction", "iterations"):
            assert (output / case / f"{case}_{name}.nii.gz").exists(), f"{case} has no {name}"
    return statistics


def masks(output: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(nib.load(path).dataobj) for path in sorted(output.glob("*/*_mask.nii.gz"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights")
    parser.add_argument("--kills", type=int, default=20)
    typed = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scans, output = Path(folder) / "scans", Path(folder) / "out"
        for i in range(SCANS):
            write_head(scans, f"head_{i}", i, lesion=True)
        paths = {"image": str(scans), "output_dir": str(output), "ckpt_path": str(Path(typed.weights).absolute())}
        run = command("inference", ["inference"], **paths)
        # the first call also loads what the others find in memory
        for _ in range(2):
            shutil.rmtree(output, ignore_errors=True)
            began = time.monotonic()
            unbroken = python(*run)
            seconds = time.monotonic() - began
            assert unbroken.returncode == 0, unbroken.stderr
        expected = masks(output)
        assert len(expected) == SCANS
        finished = []
        for number in range(1, typed.kills + 1):
            shutil.rmtree(output)
            moment = random.Random(number).uniform(0, seconds)
            program = Program(*run)
            time.sleep(moment)
            killed = program.is_running()
            program.kill()
            before = whole_files(output)
            again = python(*run)
            assert again.returncode == 0, again.stderr
            after, found = whole_files(output), masks(output)
            assert found.keys() == expected.keys() and all(
                np.array_equal(found[name], expected[name]) for name in found
            )
            paged = [case for case in before if (output / case / f"{case}_report.html").exists()]
            same = [case for case in paged if after[case] == before[case]]
            assert len(same) >= len(before) - 1, "more than the case at hand was computed again"
            assert (output / "report.html").exists() and not list(output.glob(".*unfinished*"))
            finished.append(len(before))
            print(f"{number}: after {moment:.2f} of {seconds:.2f} s ({'killed' if killed else 'had ended'}), ", end="")
            print(f"{len(before)} of {SCANS} finished, {len(same)} of them kept", flush=True)
    print(f"{typed.kills} of {typed.kills} kills held; finished cases at the kill: {sorted(finished)}")


if __name__ == "__main__":
    main()
