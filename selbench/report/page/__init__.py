"""The report as one self-contained HTML page; other packages call only `write_page`."""

from selbench.report.page.write import write_page

__all__ = ["write_page"]
