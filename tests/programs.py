"""Python programs, run as they are typed, each in a process of its own.

The processes are forked from one that has imported the libraries, as imports take longer than most of what is tested.
A test of the imports themselves needs a new interpreter.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(["monai.bundle", "monai.engines", "torch.distributed", "bundle.cases", "bundle.model"])


def _be_python(words: Sequence[str], folder: str, environment: dict[str, str], printed: list[Path]) -> None:
    for number, path in enumerate(printed, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, folder)
    kind, name, *arguments = words
    sys.argv = [kind, *arguments]
    try:
        if kind == "-m":
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            exec(compile(name, "<string>", "exec"), {"__name__": "__main__"})
    except Exception:
        sys.excepthook(*sys.exc_info())
        raise SystemExit(1) from None


class Program:
    """A running program.

    Args:
        words: of ``python WORDS``: "-m", a module and its arguments, or "-c", code and its arguments.
        cwd: the folder that it runs in, by default that of this process.
        **environment: what its environment has beside that of this process.
    """

    def __init__(self, *words: str, cwd: Path | str | None = None, **environment: str) -> None:
        self.words = words
        self.folder = tempfile.TemporaryDirectory()
        self.printed = [Path(self.folder.name, name) for name in ("output", "errors")]
        arguments = (words, str(cwd or os.getcwd()), {**os.environ, **environment}, self.printed)
        self.process = _forking.Process(target=_be_python, args=arguments)
        self.process.start()

    def is_running(self) -> bool:
        return self.process.is_alive()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.join()

    def finish(self) -> CompletedProcess:
        """Wait for its end; gives exit code and all that was printed."""
        self.process.join()
        output, errors = (path.read_text(errors="replace") for path in self.printed)
        return CompletedProcess(self.words, self.process.exitcode, output, errors)


def python(*words: str, cwd: Path | str | None = None, **environment: str) -> CompletedProcess:
    """Run a program to its end."""
    return Program(*words, cwd=cwd, **environment).finish()


def ranks(*words: str, number: int = 2) -> list[Program]:
    """Start programs with the environment that ``torchrun`` gives to the processes of one computer, without GPUs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(number)}
    shared |= {"LOCAL_WORLD_SIZE": str(number), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return [Program(*words, **shared, RANK=str(i), LOCAL_RANK=str(i)) for i in range(number)]
