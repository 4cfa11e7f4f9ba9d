"""`python -m local.host` on a machine whose clock is TEST_LATER seconds ahead: a gate that is started again only after a while.

What waits for half a minute by the gate's own clock, which nothing of a running one can move, need not be waited for.
"""

import os
import runpy
import time

_now = time.time
_later = float(os.environ["TEST_LATER"])
time.time = lambda: _now() + _later

runpy.run_module("local.host", run_name="__main__")
