# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from stack import Bed, Stack  # noqa: E402


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    s = Stack(tmp_path_factory.mktemp("stack"))
    yield s
    s.close()


@pytest.fixture
def bed(stack, tmp_path):
    b = Bed(stack, tmp_path)
    yield b
    b.close()


@pytest.fixture
def release():
    """The program without sanitizers, for what they distort; None: not built."""
    path = os.environ.get("TUTTI_RELEASE_BIN", str(pathlib.Path(__file__).resolve().parents[2] / "build/release/tutti"))
    return path if os.path.exists(path) else None
