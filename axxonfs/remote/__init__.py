"""The border to Axxon One: the only room that imports grpc, besides the simulator."""

import os

# Read by grpc when it is first imported. Its core would print lines of its own to
# stderr, into the journal of a mount; what fails is told by our errors and log.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
