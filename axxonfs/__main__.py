"""`python -m axxonfs`."""

import sys

from axxonfs.cli.main import main

sys.exit(main())
