"""The line of a terminal that shows the running step, and the plain lines elsewhere."""

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Clock
from jaxreg.common import progress_line
from jaxreg.common.progress_line import ProgressLine
from jaxreg.common.steps import step
from planted_runs import words

WAIT = 120  # seconds for a process that hangs


def screen(written: str, columns: int) -> list[str]:
    """What a terminal of so many columns shows, from top to bottom.

    It knows the carriage return, the line feed and `erase to the end of the line`, and fails for
    any other control character.
    """
    lines, column = [""], 0
    for piece in re.findall(r"\x1b\[K|[\s\S]", written):
        if piece == "\x1b[K":
            lines[-1] = lines[-1][:column]
        elif piece == "\r":
            column = 0
        elif piece == "\n":
            lines.append("")
        else:
            assert piece.isprintable(), ascii(piece)
            if column == columns:
                lines.append("")
                column = 0
            lines[-1] = lines[-1][:column].ljust(column) + piece + lines[-1][column + 1 :]
            column += 1
    return lines


# ---- without a terminal


def test_a_step_is_named_once_after_two_seconds_in_a_plain_line(clock: Clock) -> None:
    out = io.StringIO()
    line = ProgressLine(out, live=False)
    with step("solving the ridge"):
        clock.now += 1.9
        line.tick()
        assert out.getvalue() == ""
        for _ in range(100):
            clock.now += 1
            line.tick()
    line.tick()
    assert out.getvalue() == "solving the ridge …\n"


def test_a_count_is_a_plain_line_every_ten_seconds_at_most(clock: Clock) -> None:
    out = io.StringIO()
    line = ProgressLine(out, live=False)
    with step("computing", 100, "images") as one:
        for second in range(1, 31):
            clock.now += 1
            one.reach(second)
            line.tick()
    assert out.getvalue().splitlines() == [
        "computing: 2/100 images, 1.0 images/s, 98 s left",
        "computing: 12/100 images, 1.0 images/s, 88 s left",
        "computing: 22/100 images, 1.0 images/s, 78 s left",
    ]


def test_a_step_with_lines_of_its_own_has_no_others(clock: Clock) -> None:
    out = io.StringIO()
    line = ProgressLine(out, live=False)
    with step("training", 100, "epochs", own_lines=True):
        clock.now += 60
        line.tick()
    assert out.getvalue() == ""


def test_nothing_is_shown_after_the_end(clock: Clock) -> None:
    out = io.StringIO()
    line = ProgressLine(out, live=False)
    line.close()
    with step("compiling"):
        clock.now += 60
        line.tick()
    assert out.getvalue() == ""


# ---- on a terminal


def test_the_line_is_rewritten_and_leaves_nothing(clock: Clock) -> None:
    out = io.StringIO()
    line = ProgressLine(out, live=True)
    with step("converting the network"):
        line.tick()
        assert out.getvalue() == ""  # it may be over at once
        clock.now += 1
        line.tick()
        assert screen(out.getvalue(), 80) == ["/ converting the network (1 s)"]
        clock.now += 1
        line.tick()
        assert screen(out.getvalue(), 80) == ["- converting the network (2 s)"]
    line.tick()
    assert screen(out.getvalue(), 80) == [""]


def test_a_message_stands_whole_above_the_line(clock: Clock) -> None:
    out = io.StringIO()
    line = ProgressLine(out, live=True)
    with step("converting the network"):
        clock.now += 1
        line.tick()
        line.write(out, "a note")  # print writes the end of the line by itself
        line.tick()
        line.write(out, "\n")
        line.tick()
        assert screen(out.getvalue(), 80) == ["a note", "- converting the network (1 s)"]
        line.write(out, "Remove? [y/N] ")
        line.tick()  # a question stays where it is answered
    line.close()
    assert screen(out.getvalue(), 80) == ["a note", "Remove? [y/N] "]


def test_what_a_library_writes_itself_begins_on_a_line_of_its_own(clock: Clock) -> None:
    out = io.StringIO()
    line = ProgressLine(out, live=True)
    with step("compiling"):
        clock.now += 1
        line.tick()
        out.write("W0000 a C++ library says something\r\n")
        line.tick()
        expected = ["W0000 a C++ library says something", "- compiling (1 s)"]
        assert screen(out.getvalue(), 80) == expected


class Terminal:
    """A process on a terminal of its own; its standard input is a pipe, so nothing is echoed."""

    def __init__(self, columns: int, program: str, **environment: str) -> None:
        self.columns, self.written = columns, ""
        self.own, its = pty.openpty()
        import fcntl
        import struct
        import termios

        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        quick = "from jaxreg.common import progress_line as p\np.SHOWN_AFTER, p.REDRAWN = 0, 0.01\n"
        self.process = subprocess.Popen(
            [sys.executable, "-c", quick + program],
            stdin=subprocess.PIPE,
            stdout=its,
            stderr=its,
            env={**os.environ, "TERM": "xterm", **environment},
        )
        os.close(its)

    def _read(self) -> bool:
        try:
            if not select.select([self.own], [], [], WAIT)[0]:
                return False
            content = os.read(self.own, 65536)
        except OSError:  # the process has ended
            return False
        self.written += content.decode()
        return bool(content)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        os.close(self.own)

    def wait_for(self, text: str) -> None:
        """Until the terminal shows it."""
        while not any(text in line for line in self.screen()):
            assert self._read(), self.written

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Read to the end; returns the exit code."""
        while self._read():
            pass
        return self.process.wait(WAIT)

    def screen(self) -> list[str]:
        return screen(self.written, self.columns)


STEPS = """
import sys
from jaxreg import cli
from jaxreg.common.steps import step

def main():
    cli.say("first message")
    with step("reading", 1000, "images") as one:
        one.reach(448)
        sys.stdin.readline()
        cli.say("a message in between")
        print("a line of standard output")
        one.reach(449)
        sys.stdin.readline()
    cli.say("last message")
    return 0

cli.run_command(main)
"""
MESSAGES = ["first message", "a message in between", "a line of standard output", "last message"]


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with Terminal(40, STEPS) as made:
        yield made


def test_messages_stay_and_the_line_goes(terminal: Terminal) -> None:
    terminal.wait_for("reading: 448/1000 images")
    terminal.go_on()
    terminal.wait_for("reading: 449/1000 images")
    shown = terminal.screen()
    assert shown[:-1] == MESSAGES[:-1]
    assert len(shown[-1]) < 40
    terminal.go_on()
    assert terminal.end() == 0
    assert terminal.screen() == [*MESSAGES, ""]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_and_its_line(terminal: Terminal, number: int) -> None:
    terminal.wait_for("reading: 448/1000 images")
    terminal.process.send_signal(number)
    assert terminal.end() == (-number if number == signal.SIGTERM else 128 + number)
    assert terminal.screen() == ["first message", ""]


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TERM": "unknown"}])
def test_a_terminal_that_cannot_erase_gets_plain_lines(environment: dict[str, str]) -> None:
    with Terminal(40, STEPS, **environment) as terminal:
        for _ in range(2):
            terminal.go_on()
        assert terminal.end() == 0
        assert "\x1b" not in terminal.written
        assert terminal.screen() == [*MESSAGES, ""]


def test_a_run_leaves_only_its_messages(planted: Path) -> None:
    """A whole training on a terminal: no line is torn, and none of a step is left."""
    say = "from jaxreg import cli, train\n"
    command = f"cli.run_command(lambda: train.main({words(planted)!r}))"
    with Terminal(1000, say + command, JAX_PLATFORMS="cpu") as terminal:
        assert terminal.end() == 0
    assert "training: " in terminal.written
    shown = terminal.screen()
    assert shown[0].startswith("device: cpu")
    assert shown[-2].startswith("next: jaxreg predict ")
    starts = ("device", "features", "weights", "data", "target", "ridge", "note", "warning",
              "validation", "learning", "report", "next")  # fmt: skip
    assert [row for row in shown[:-1] if not row.startswith(starts)] == []


# ---- other places of standard error


def run(program: str, redirected: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {redirected}', sys.executable, program],
        input="\n\n", capture_output=True, text=True, timeout=WAIT, check=False,
    )  # fmt: skip


def test_a_pipe_gets_no_control_character_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    done = run(STEPS, "")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [line for line in MESSAGES if "standard" not in line]


def test_a_closed_standard_error_is_no_error_and_nothing_goes_elsewhere() -> None:
    program = STEPS.replace('print("a line of standard output")', 'cli.print_json({"done": 1})')
    done = run(program, "2>&-")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"done": 1}


def test_hidden_steps_stay_hidden(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_line.shown(), step("compiling"):
        progress_line.hide()
        clock.now += 60
        [line] = progress_line._shown
        line.tick()
    assert capsys.readouterr().err == ""
