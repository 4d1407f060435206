from __future__ import annotations

import sys

from devenv.cli import main

sys.exit(main())
