"""A module after whose import no fork is sound."""

import threading

threading.Thread(target=threading.Event().wait, daemon=True).start()
