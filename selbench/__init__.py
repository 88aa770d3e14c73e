"""selbench: which data-selection method should you use for instruction tuning?"""

__version__ = "0.1.0"
