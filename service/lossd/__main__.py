"""`python -m lossd`: the command line."""

import sys

from lossd.cli import main

if __name__ == "__main__":
    sys.exit(main())
