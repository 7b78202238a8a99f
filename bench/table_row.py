"""One line of the table that `python -m bench` prints."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `passed` is None where nothing is held to a target."""

    line: str
    target: str = ""
    floor: str = ""
    ours: str = ""
    ratio: str = ""
    passed: bool | None = None

    def markdown(self) -> str:
        """The row as Markdown."""
        verdict = {True: "pass", False: "FAIL", None: "-"}[self.passed]
        return f"| {self.line} | {self.target} | {self.floor} | {self.ours} | {self.ratio} | {verdict} |"


HEADER = "| what | target | floor | ours | ratio | verdict |\n| --- | --- | --- | --- | --- | --- |"
