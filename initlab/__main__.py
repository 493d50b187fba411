"""`python -m initlab`: see `initlab.cli`."""

from __future__ import annotations

import sys

from initlab.cli import main

if __name__ == "__main__":
    sys.exit(main())
