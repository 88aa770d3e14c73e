"""Conformance checks for plugins: run them with `selbench check NAME`, or in pytest:

from selbench.testing import Subject, selector_checks

@pytest.mark.parametrize("check", selector_checks, ids=lambda check: check.__name__)
def test_my_selector(check, tmp_path):
    check(Subject("my_selector", plugin_path=["my_methods"]), tmp_path)

Likewise `trainer_checks` with `Subject("mine", kind="trainer")`, `suite_checks` and `pool_checks`. A check that fails raises
Finding, an AssertionError; one that does not apply raises NotTested, which pytest shows as skipped.
"""

from selbench.testing.findings import Finding, NotTested
from selbench.testing.pool_rules import pool_checks
from selbench.testing.selector_rules import selector_checks
from selbench.testing.subject import Subject, default_scorer
from selbench.testing.suite_rules import suite_checks
from selbench.testing.trainer_rules import trainer_checks

__all__ = [
    "Finding",
    "NotTested",
    "Subject",
    "default_scorer",
    "pool_checks",
    "selector_checks",
    "suite_checks",
    "trainer_checks",
]
