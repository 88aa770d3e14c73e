"""The report as one self-contained HTML page: `write_page` is its only door."""

from selbench.report.page.write import write_page

__all__ = ["write_page"]
