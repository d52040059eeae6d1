"""``python -m agents.providers.local`` runs the embedded speech server."""

import sys

from .process import main

if __name__ == "__main__":
    sys.exit(main())
