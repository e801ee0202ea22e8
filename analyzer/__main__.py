"""``python -m analyzer``: the same as the ``analyze`` command."""

from analyzer.cli import main

main()
