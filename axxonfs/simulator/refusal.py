"""The one way in which a part of the simulator says no to a call.

Imports nothing of ours and no grpc: the service layer turns the name of the
status into gRPC's own value.
"""


class Refusal(Exception):  # noqa: N818  it is an answer, not a fault of the simulator
    """A call ends with the status named `code` (as gRPC spells it, NOT_FOUND) and the text `details`."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details
