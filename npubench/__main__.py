"""``python -m npubench`` is the command."""

from npubench.cli import main

main()
