"""The second process of the check `two_processes_agree`: builds the same selector and prints the ids it chooses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from selbench.api import ModelRef
from selbench.testing.selectors import Subject, make_pool


def main() -> None:
    """Arguments on the command line: the subject as JSON, and a scratch folder. Prints the ids as JSON."""
    told = json.loads(sys.argv[1])
    subject = Subject(**{**told, "scorer": ModelRef(**told["scorer"])})
    print(json.dumps(subject.select(make_pool(40), 10, Path(sys.argv[2]), seed=2).ids))


if __name__ == "__main__":
    main()
