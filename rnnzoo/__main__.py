"""`python -m rnnzoo` is the command line."""

import os
import sys

if sys.path[0] == os.getcwd():
    # Python put it there. It may be a downloaded zoo, whose modules are not to be imported.
    del sys.path[0]

from rnnzoo.cli.main import main

main()
