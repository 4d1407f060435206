"""`python -m tests.simulation`. Apart, because the processes of a pool do not import a package's `__main__`."""

import sys

from .campaign import main

if __name__ == "__main__":
    sys.exit(main())
