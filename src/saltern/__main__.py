"""`python -m saltern` is the `saltern` command."""

import sys

from saltern.cli import main

sys.exit(main())
