# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""MONAI's workflow, with values that are taken as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow

from bundle.cli.bundle_files import ROOT
from bundle.cli.check import check_values
from bundle.cli.notices import silence_loggers, silence_notices


class TypedWorkflow(ConfigWorkflow):
    """A workflow whose values are not parsed: text that begins with "$" stays text, "#" stays in a path.

    Args:
        files: paths of the configs.
        run_id: the key to run.
        values: of keys of these configs.
        logging_file: see MONAI; False to leave logging alone.

    Raises:
        InputError: when values do not go together.
    """

    def __init__(
        self, files: Sequence[str], run_id: str, values: Mapping[str, Any], logging_file: str | bool = False
    ) -> None:
        checked = check_values(values, ConfigParser.load_config_files(files), ", ".join(files))
        silence_loggers()
        super().__init__(
            config_file=files,
            meta_file=str(ROOT / "configs" / "metadata.json"),
            logging_file=logging_file,
            run_id=run_id,
            workflow_type="infer",
        )
        self.values = checked
        # an inner key of a config, such as "threshold_search#share", is set where it stands
        for name in set(values) - set(checked):
            self.parser[name] = values[name]
        if logging_file:
            silence_notices()

    def initialize(self) -> Any:
        """Put the values where resolved ones are kept, before anything is resolved; then as MONAI."""
        self.parser.parse(reset=True)
        self.parser.ref_resolver.resolved_content.update(self.values)
        self._is_initialized = True
        return self._run_expr(id=self.init_id)
