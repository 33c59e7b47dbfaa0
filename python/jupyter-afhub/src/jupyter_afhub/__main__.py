"""`python -m jupyter_afhub` is the command `afhub-notebook`."""

import sys

from jupyter_afhub.launcher import main

sys.exit(main())
