"""What `import selbench` gives, and that it loads nothing that was not asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import selbench
import selbench.api


def test_the_package_gives_what_the_api_gives():
    names = [name for name in selbench.__all__ if name != "__version__"]
    assert names == sorted(selbench.api.__all__)
    assert all(getattr(selbench, name) is getattr(selbench.api, name) for name in names)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        selbench.nothing  # noqa: B018


def test_importing_the_package_alone_loads_nothing():
    code = "import sys, selbench; print([m for m in sys.modules if m.split('.')[0] in ('numpy', 'selbench', 'torch')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['selbench']"
