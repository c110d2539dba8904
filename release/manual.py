"""Manual pages, from the parsers that `--help` is printed from.

Only what argparse knows stands in them, so that page and `--help` cannot drift
apart. Writes roff with the macros of man(7), and nothing that only groff knows.
"""

import argparse
import re
from collections.abc import Iterable, Iterator

_OPTION_COLUMNS = 20
# A name, and far enough to its right what it means, over one or more lines.
_ROW = re.compile(r"  (?P<name>\S+)\s{2,}(?P<text>.*)", re.DOTALL)


def page(
    parser: argparse.ArgumentParser,
    *,
    section: int,
    summary: str,
    version: str,
    see_also: str,
    statuses: Iterable[tuple[str, str]] = (),
) -> str:
    """Return the manual page of one command.

    `summary` is what the one-line index of manuals shows, `statuses` are exit
    statuses and what they mean.
    """
    name = parser.prog.replace(" ", "-")
    blocks = [
        f'.TH {_text(name.upper())} {section} "" "axxonfs {version}"',
        # Ragged on the right and without hyphens: names of options are to be found by searching.
        f".ad l\n.nh\n.SH NAME\n{_text(name)} \\- {_text(summary)}",
        f".SH SYNOPSIS\n{_synopsis(parser)}",
        f".SH DESCRIPTION\n{_text(_description(parser))}",
        *_sections(parser),
        *_epilogue(parser),
        *_exit_statuses(statuses),
        f".SH SEE ALSO\n{_text(see_also)}",
    ]
    return "\n".join(blocks) + "\n"


def _text(text: str) -> str:
    """Return a text in which roff finds nothing to carry out."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("`", r"\(ga")
    return re.sub(r"^\.", r"\&.", escaped, flags=re.MULTILINE)


def _synopsis(parser: argparse.ArgumentParser) -> str:
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    # A line may break between the words of a command, but not within an option and what it takes.
    pieces = re.findall(r"\[[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*\]\S*|\S+", usage.removeprefix(parser.prog))
    words = [_text(piece).replace(" ", r"\ ") for piece in pieces]
    return f".B {_text(parser.prog)}\n" + "\n".join(words)


def _description(parser: argparse.ArgumentParser) -> str:
    return _filled(parser, parser.description or "")


def _sections(parser: argparse.ArgumentParser) -> Iterator[str]:
    groups = {"positional arguments": "ARGUMENTS", "options": "OPTIONS"}
    for group in parser._action_groups:  # noqa: SLF001 - argparse has no other door
        actions = [action for action in group._group_actions if action.help != argparse.SUPPRESS]  # noqa: SLF001
        if not actions:
            continue
        title = groups.get(group.title or "", (group.title or "").upper())
        if isinstance(actions[0], argparse._SubParsersAction):  # noqa: SLF001
            title, actions = "COMMANDS", list(actions[0]._choices_actions)  # noqa: SLF001
        yield f".SH {_text(title)}\n" + "\n".join(_action(parser, action) for action in actions)


def _action(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    takes = "" if action.nargs == 0 else _takes(action)
    if action.option_strings:
        spelled = ", ".join(rf"\fB{_text(word)}\fR" for word in action.option_strings)
        head = f"{spelled} \\fI{_text(takes)}\\fR" if takes else spelled
    else:
        head = rf"\fB{_text(takes or action.dest)}\fR"
    return f".TP {_OPTION_COLUMNS}\n{head}\n{_text(_filled(parser, action.help or '', action))}"


def _takes(action: argparse.Action) -> str:
    if action.choices is not None and action.metavar is None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    return metavar or (action.dest.upper() if action.option_strings else action.dest)


def _filled(parser: argparse.ArgumentParser, text: str, action: argparse.Action | None = None) -> str:
    """Return a text with argparse's own `%(default)s` and the like filled in."""
    values = {**vars(action), "prog": parser.prog} if action is not None else {"prog": parser.prog}
    return text % values if "%" in text else text


def _epilogue(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the text below the options; rows of a table in it become items, and the rest stays as it is laid out."""
    if not parser.epilog:
        return
    yield ".SH DETAILS"
    for paragraph in re.split(r"\n(?!\s{8})", parser.epilog):
        row = _ROW.fullmatch(paragraph)
        yield _item(row["name"], " ".join(row["text"].split())) if row else f".PP\n{_text(paragraph.strip())}"


def _exit_statuses(statuses: Iterable[tuple[str, str]]) -> Iterator[str]:
    rows = [_item(status, text) for status, text in statuses]
    if rows:
        yield ".SH EXIT STATUS\n" + "\n".join(rows)


def _item(name: str, text: str) -> str:
    return f".TP {_OPTION_COLUMNS}\n\\fB{_text(name)}\\fR\n{_text(text)}"
