"""An Axxon One export server to try everything against."""

import os

# Read by grpc when it is first imported. Its core would print lines of its own to stderr, beside what is said here.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
