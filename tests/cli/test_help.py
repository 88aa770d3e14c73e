"""The help of every command: printed, with single percent signs."""

from __future__ import annotations

import pytest

from selbench.cli.main import VERBS, run

PAGES = [[], *([verb] for verb in VERBS), *(["store", verb] for verb in ("ls", "verify", "gc"))]


@pytest.mark.parametrize("page", PAGES, ids=" ".join)
def test_every_help_page_is_printed_without_doubled_percent_signs(page, capsys):
    try:
        status = run([*page, "--help"])
    except SystemExit as ended:  # argparse ends the process once it has printed
        status = ended.code
    out = capsys.readouterr().out
    assert status == 0 and "selbench" in out
    assert "%%" not in out and "%(" not in out
    if page == ["compare"]:
        assert "10% or 0.1" in " ".join(out.split())
