# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Make the datalist of a downloaded data set: ``python -m scripts.prepare_dataset LAYOUT FOLDER OUTPUT``."""

import fire

from bundle.data.prepare import prepare_dataset

if __name__ == "__main__":
    fire.Fire(prepare_dataset)
