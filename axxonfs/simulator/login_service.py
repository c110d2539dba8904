"""AuthenticationService: login, renewal, end. The decisions are in `logins`."""

from collections.abc import Mapping

from axxonfs.simulator.gate import Caller, Method
from axxonfs.simulator.logins import Logins
from axxonfs.wire import authentication_pb2 as wire

PUBLIC = frozenset({"AuthenticateEx2"})


class LoginService:
    """Answers the calls of AuthenticationService."""

    def __init__(self, logins: Logins) -> None:
        self._logins = logins

    def methods(self) -> Mapping[str, Method]:
        """Return the methods by their names on the wire."""
        return {"AuthenticateEx2": self.log_in, "RenewSession2": self.renew, "CloseSession": self.log_out}

    def log_in(self, request: wire.AuthenticateRequest, _: Caller) -> wire.AuthenticateResponseEx:
        """Check a password."""
        return self._logins.log_in(request.user_name, request.password)

    def renew(self, _: wire.RenewSessionRequest, caller: Caller) -> wire.AuthenticateResponseEx:
        """Give another token for the same login."""
        return self._logins.renew(caller.token_value)

    def log_out(self, _: wire.CloseSessionRequest, caller: Caller) -> wire.CloseSessionResponse:
        """End the login that the call's token belongs to."""
        self._logins.log_out(caller.token_value)
        return wire.CloseSessionResponse(error_code=wire.CloseSessionResponse.EErrorCode.OK)
