"""What the integration tests stand on: a cluster, a proxy under test, a wire-protocol client."""
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PG_BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
# How much slower than a plain build the binary under test may be (sanitizers); stretches deadlines.
SLOW = float(os.environ.get("WEIR_TEST_SLOW", "1"))
# Which backend of the primary serves a session; pg_backend_pid() itself would pin it.
BACKEND = "SELECT pid FROM pg_stat_activity WHERE pid = pg_backend_pid()"
