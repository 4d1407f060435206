from __future__ import annotations

import sys

from reference_worker.worker import main

sys.exit(main())
