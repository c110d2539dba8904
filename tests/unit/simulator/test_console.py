"""What testers type at a simulator; no call is made, so none of it needs a client."""

from collections.abc import Iterator

import pytest

from axxonfs.simulator.config import SimulatorConfig
from axxonfs.simulator.console import COMMANDS, METHODS, Console, fault_words, help_text
from axxonfs.simulator.server import Simulator
from axxonfs.simulator.switches import Switches


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    directory = tmp_path_factory.mktemp("console")
    config = SimulatorConfig(directory=directory, users={"root": "old"}, switches=Switches(file_id="name"))
    simulator = Simulator(config)
    yield Console(simulator, "root")
    simulator.close()


def test_a_fault_is_planned_as_its_words_say(console: Console) -> None:
    console.do("fault DownloadFile cut after=3 times=2 status=INTERNAL session=abc")
    [fault] = console.simulator.faults.take("DownloadFile", "abc")
    assert (fault.action, fault.after_chunks, fault.times, fault.status) == ("cut", 3, 2, "INTERNAL")
    assert console.do("clear") == "no faults"
    assert console.simulator.faults.take("DownloadFile", "abc") == ()


def test_a_fault_can_be_for_ever_and_for_every_call() -> None:
    plan = fault_words(["*", "delay", "delay=0.5", "times=always"])
    assert (plan["method"], plan["delay_s"]) == ("*", 0.5)
    assert plan["times"] > 1_000_000


def test_switches_are_laid_over_those_of_the_start(console: Console) -> None:
    console.do("switch login=locked chunk_size_limit_kb=16")
    assert console.simulator.switches == Switches(file_id="name", login="locked", chunk_size_limit_kb=16)
    console.do("switch login=check")
    assert console.simulator.switches == Switches(file_id="name")


def test_sessions_appear_and_vanish(console: Console) -> None:
    assert console.do("add 30") == "30 sessions added"
    assert console.do("remove 20") == "20 sessions removed"
    assert len(console.simulator.sessions.records()) == 10


def test_the_password_changes_and_tokens_end(console: Console) -> None:
    assert console.simulator.logins.log_in("root", "old").token_value
    console.do("password 'of two words'")
    assert console.simulator.logins.log_in("root", "of two words").token_value
    console.do("revoke")
    assert console.simulator.logins.open_logins() == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("flaut x y", "'flaut' is no command"),
        ("fault DownloadFile", "a call and an action"),
        ("fault Download stall", "'Download' is no call"),
        ("fault DownloadFile explode", "'explode' is no action"),
        ("fault DownloadFile cut status=OK", "'OK' is no status"),
        ("fault DownloadFile cut after=soon", "'soon' is not a number"),
        ("fault DownloadFile delay delay=long", "not a number of seconds"),
        ("fault DownloadFile cut often=2", "is none of"),
        ("switch login=maybe", "login is one of"),
        ("certificate old", "one of renewed"),
        ("add", "0 words where 1"),
        ("fault 'half a quote", "closing quotation"),
    ],
)
def test_a_mistake_is_answered_in_words(console: Console, line: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        console.do(line)


def test_nothing_and_comments_do_nothing(console: Console) -> None:
    assert [console.do(""), console.do("  # a comment")] == ["", ""]


def test_help_names_every_command_call_and_action() -> None:
    text = help_text()
    assert all(words in text for words in (*COMMANDS, *METHODS, "half_list"))
