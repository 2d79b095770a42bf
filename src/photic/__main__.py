"""`python -m photic`."""

from photic.cli.main import main

main()
