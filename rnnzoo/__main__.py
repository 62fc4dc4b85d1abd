"""`python -m rnnzoo` is the command line."""

from rnnzoo.cli import main

main()
