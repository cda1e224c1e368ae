"""Train one recipe with a function of a script: `python -m lrsearch.own_loop.alone FILE.py:train`.

`--recipe FILE` says which recipe. A whole script runs by itself: `python FILE.py --recipe FILE`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from lrsearch.errors import LrsearchError, TaskError
from lrsearch.own_loop.child import execute
from lrsearch.own_loop.run import run
from lrsearch.shown_text import visible


def main(argv: Sequence[str]) -> int:
    """Call the function with `run`, and with those of the recipe's params that it takes."""
    try:
        if not argv:
            raise TaskError("no script is named; write FILE.py:function --recipe FILE")
        execute(argv[0], Path(), run, argv[1:])
    except LrsearchError as error:
        print(visible(f"Error: {error}"), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
