"""What libraries warn of is shown by the command line, once and in its own form."""

from __future__ import annotations

import logging

import pytest

from selbench import console

LOG = logging.getLogger("selbench.store")


def test_a_warning_of_a_library_reads_as_one_of_the_command_line(capsys):
    with console.warnings_shown():
        LOG.warning("the stage [red]x[/] is damaged: %s.", "cut")
        LOG.info("nothing to look at")
    assert capsys.readouterr() == ("", "warning: the stage [red]x[/] is damaged: cut.\n")


def test_it_is_shown_once_however_often_asked_for_and_whoever_listens_besides(capsys):
    root = logging.StreamHandler()
    logging.getLogger().addHandler(root)
    try:
        with console.warnings_shown(), console.warnings_shown():
            LOG.warning("twice?")
    finally:
        logging.getLogger().removeHandler(root)
    assert capsys.readouterr().err == "warning: twice?\n"


@pytest.mark.parametrize("failing", [False, True])
def test_outside_a_command_plain_logging_applies(capsys, caplog, failing):
    try:
        with console.warnings_shown():
            if failing:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    LOG.warning("heard by others")
    assert "heard by others" in caplog.text
    assert "warning:" not in capsys.readouterr().err


def test_the_command_line_shows_them(capsys, monkeypatch):
    from selbench.cli import main

    monkeypatch.setattr(main, "help_text", lambda: LOG.warning("from below") or "help\n")
    assert main.run(["--help"]) == 0
    assert capsys.readouterr() == ("help\n", "warning: from below\n")
