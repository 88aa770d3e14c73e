"""Conformance checks for selectors: run them with `selbench check NAME`, or in pytest as `selector_checks`:

from selbench.testing import Subject, selector_checks

@pytest.mark.parametrize("check", selector_checks)
def test_my_selector(check, tmp_path):
    check(Subject("my_selector", plugin_path=["my_methods"]), tmp_path)
"""

from selbench.testing.selectors import Subject, selector_checks

__all__ = ["Subject", "selector_checks"]
