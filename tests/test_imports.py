"""Imports go one way along the journey of a scan, and modules use each other's public names alone."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# the rooms in the order of CONTRIBUTING.md; what is imported stands to the left
ORDER = (
    *("errors", "files", "distributed", "data", "preprocessing", "model", "postprocessing", "cases", "report"),
    *("phantom", "evaluation", "training", "benchmark", "cli", "interaction", "label", "review"),
)


def imports_of(path: Path) -> list[tuple[str, str]]:
    """Module and name of what a module takes from this package when it is imported."""
    statements = [s for s in ast.parse(path.read_text()).body if isinstance(s, ast.ImportFrom)]
    return [(s.module, name.name) for s in statements if s.module and s.module.startswith("bundle") for name in s.names]


def test_imports_go_one_way_and_are_of_public_names():
    backwards, private = [], []
    paths = sorted((ROOT / "bundle").rglob("*.py"))
    for path in paths:
        own = path.relative_to(ROOT / "bundle").with_suffix("").parts[0]
        for module, name in imports_of(path):
            room = (module.split(".")[1:] or [name])[0]
            if own in ORDER and room in ORDER and ORDER.index(room) > ORDER.index(own):
                backwards.append(f"{path.name}: {module}")
            if name.startswith("_") and not name.startswith("__"):
                private.append(f"{path.name}: {module}.{name}")
    assert len(paths) > 100 and not backwards and not private
