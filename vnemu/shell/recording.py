"""Recording a session: a file that is complete at any time, checked and kept at the end."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vnemu.errors import InputError, Problem, VnemuError
from vnemu.sessions import client
from vnemu.shell.lines import Line, between
from vnemu.shell.registry import COMMANDS, SHELL
from vnemu.shell.repeatable import Remark, Session, repeating
from vnemu.shell.saving import topology_beside, writing

if TYPE_CHECKING:
    from vnemu.shell.session import Shell

Data = dict[str, Any]


def _part_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


class Recorder:
    """Writes down what happens in a lab, whoever does it.

    As it happens it is in FILE.part, which whoever is killed leaves behind.

    Parameters:
        lab: its name.
        file: the experiment file that it shall be.
        data: the lab as ``inspect`` showed it at the beginning.
        topology: what it was then, as plain data.
    """

    def __init__(self, lab: str, file: Path, data: Data, topology: Data) -> None:
        from vnemu.experiments.resolved import as_text

        self.lab = lab
        self.file = file
        self._data = data
        self._head = as_text({"topology": topology})
        self._ahead: float = data["journal"]["time"] - time.monotonic()
        self._part = _part_of(file)
        self._records: dict[int, Data] = {}
        self._remarks: list[Remark] = []
        self._lock = threading.Lock()
        self._over = False
        self._follower = threading.Thread(target=self._follow, daemon=True)

    @classmethod
    def begin(cls, lab: str, file: Path) -> Recorder:
        """Record from now on.

        Raises:
            InputError: if a file cannot say what runs now, or cannot be there.
        """
        part = _part_of(file)
        if part.exists():
            hint = "it is a recording that goes on or was cut off: rename or remove it"
            raise InputError([Problem(str(part), "is there already", hint)])
        data = client.ask(lab, "inspect")
        recorder = cls(lab, file, data, topology_beside(data, file))
        recorder._take(*recorder._events())
        recorder._follower.start()
        return recorder

    def _now(self) -> float:
        """The time as the lab tells it."""
        return self._ahead + time.monotonic()

    def _events(self) -> list[Data]:
        return [each["event"] for each in client.asked(self.lab, "events") if "event" in each]

    def _follow(self) -> None:
        with suppress(VnemuError, OSError):
            for message in client.asked(self.lab, "events", follow=True):
                if "event" in message and message["event"]["number"] not in self._records:
                    self._take(message["event"])

    def remark(self, text: str) -> None:
        """Note what is done now and cannot be repeated."""
        self._remarks.append(Remark(self._now(), text))
        self._take()

    def _take(self, *records: Data) -> None:
        """Write down what is known, with these records of the journal."""
        with self._lock:
            self._records |= {record["number"]: record for record in records}
            if not self._over:
                with writing(self._part):
                    self._part.write_text(self._text(), encoding="utf-8")

    def _text(self) -> str:
        records = [record for _, record in sorted(self._records.items())]
        place = self.file.absolute().parent
        session = Session(self._data, records, self._remarks, self._now(), place)
        begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self._data["journal"]["time"]))
        return f"# recorded in lab {self.lab} from {begun} on\n{self._head}{repeating(session)}"

    def wait(self) -> None:
        """Wait until the lab ends."""
        self._follower.join()

    def finish(self) -> None:
        """End it: check the file, and give it its name.

        Raises:
            InputError: if the file is not fine, which stays FILE.part then.
        """
        from vnemu.experiments.prepare import prepare
        from vnemu.schema.load import load_experiment

        records = []
        with suppress(VnemuError):  # a lab that has ended has told all
            records = self._events()
        self._take(*records)
        with self._lock:
            self._over = True
        prepare(load_experiment(self._part))
        with writing(self.file):
            self._part.replace(self.file)


@COMMANDS.command("record [FILE|stop]", SHELL, "file")
def _record(shell: Shell, line: Line) -> int:
    """What happens from now on, as an experiment that vnemu run repeats; stop ends it."""
    words = between(line.words, 0, 1)
    if not words:
        file = shell.recorder and shell.recorder.file
        print(f"recording to {file}" if file else "not recording")
    elif words == ["stop"]:
        if shell.recorder is None:
            raise InputError("nothing is being recorded: record FILE begins")
        end_recording(shell)
    elif shell.recorder is not None:
        hint = "record stop ends that"
        raise InputError([Problem("", f"{shell.recorder.file} is being recorded", hint)])
    else:
        shell.recorder = Recorder.begin(shell.lab, Path(words[0]))
        print(f"recording to {words[0]}")
    return 0


def end_recording(shell: Shell) -> None:
    """End what a shell records, if it does.

    Raises:
        InputError: as of `Recorder.finish`.
    """
    recorder, shell.recorder = shell.recorder, None
    if recorder is not None:
        recorder.finish()
        with suppress(OSError):  # the terminal may be gone
            print(f"recorded {recorder.file}; next: vnemu run {recorder.file}")
