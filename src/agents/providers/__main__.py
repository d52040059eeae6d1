"""``python -m agents.providers`` is the ``voxport`` command line."""

from agents.providers.cli import main

if __name__ == "__main__":
    main()
