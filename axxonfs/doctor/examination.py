"""One look at everything: which checks there are, in which order, and which are not worth making after another failed.

Blocking; every check has a timeout, so the whole takes a minute or two at most. Findings are yielded as they come.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from axxonfs.core import errors
from axxonfs.doctor import machine, server, trial
from axxonfs.doctor.findings import Finding, Verdict, ok, problem, skipped
from axxonfs.fs import journal
from axxonfs.fs.options import MountOptions
from axxonfs.remote.channel import Link
from axxonfs.remote.credentials import Credentials, PasswordSource
from axxonfs.remote.exports import ExportClient
from axxonfs.remote.refusals import Refusals
from axxonfs.remote.trust import Endpoint, Trust


@dataclasses.dataclass(frozen=True, slots=True)
class Patient:
    """What is looked at; None for what was not said."""

    options: MountOptions
    endpoint: Endpoint | None = None
    mountpoint: Path | None = None
    password: PasswordSource | errors.CredentialsError | None = None

    @property
    def state_directory(self) -> Path:
        """Where the journal of such a mount is; where all are, if that is not known."""
        if self.options.state_dir:
            return self.options.state_dir
        if self.endpoint and self.mountpoint:
            host, port = self.endpoint.host, self.endpoint.port
            return journal.directory_of(host, port, self.options.user, self.mountpoint)
        return journal.state_base()


class Examination:
    """A look at a patient; after it `client` can be asked more, where the login worked."""

    def __init__(self, patient: Patient, *, may_start: bool) -> None:
        self._patient = patient
        self._may_start = may_start
        self.client: ExportClient | None = None

    def findings(self, stack: contextlib.ExitStack) -> Iterator[Finding]:
        """Yield what is found; the connection is closed with `stack`."""
        yield from self._of_machine()
        if self._patient.endpoint is None:
            yield skipped("server", "none was given")
            return
        yield from self._of_server(self._patient.endpoint, stack)

    def _of_machine(self) -> Iterator[Finding]:
        options = self._patient.options
        yield machine.fuse()
        yield machine.helper()
        yield machine.allow_other(options)
        yield machine.background(self._patient.mountpoint)
        yield machine.place(self._patient.mountpoint)
        yield machine.state(self._patient.state_directory)

    def _of_server(self, endpoint: Endpoint, stack: contextlib.ExitStack) -> Iterator[Finding]:
        found = server.name(endpoint)
        yield found
        if found.verdict is Verdict.OK:
            found = server.port(endpoint)
            yield found
        if found.verdict is not Verdict.OK:
            return
        finding, trust = server.certificate(endpoint, self._patient.options)
        yield finding
        if finding.verdict is Verdict.PROBLEM:
            return
        source = self._password()
        if isinstance(source, Finding):
            yield source
            return
        yield ok("password", "there is one")
        yield from self._of_account(self._link(endpoint, trust, source, stack))

    def _password(self) -> PasswordSource | Finding:
        if not self._patient.options.user:
            return skipped("password", "no account was given: axxonfs doctor USER@HOST")
        source = self._patient.password
        cure = "write it as the only line of a file with mode 0600, and name that with -o password_file=FILE"
        try:
            if source is None or isinstance(source, errors.CredentialsError):
                raise source or errors.CredentialsError("no password was given")
            source.read()
        except errors.CredentialsError as error:
            return problem("password", str(error), cure)
        return source

    def _link(
        self, endpoint: Endpoint, trust: Trust | None, source: PasswordSource, stack: contextlib.ExitStack
    ) -> Link:
        user = self._patient.options.user
        directory = self._patient.state_directory
        others = [path for path in journal.state_base().glob("*") if path.is_dir()]
        refusals = Refusals(f"{user}@{endpoint}", directory, others)
        return stack.enter_context(
            contextlib.closing(Link(endpoint, trust, Credentials(user, source), refusals=refusals))
        )

    def _of_account(self, link: Link) -> Iterator[Finding]:
        found = server.login(link)
        yield found
        if found.verdict is not Verdict.OK:
            return
        client = self.client = ExportClient(link)
        yield server.clock(link)
        yield server.version(client)
        yield server.sessions(client)
        finding, cameras = server.cameras(client)
        yield finding
        yield server.agent(client)
        if not self._may_start:
            yield skipped("right to export", "it shows only when an export starts: --start starts one of 2 s")
            return
        yield trial.right_to_export(client, cameras)
