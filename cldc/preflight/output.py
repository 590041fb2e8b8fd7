"""Parse what the training script prints, line by line as it comes.

The script's own lines are the competition's; the progress in between is Keras', which redraws a line with
carriage returns or backspaces (Keras 2) and colours it (Keras 3). Anything else is passed over, so warnings of
TensorFlow and prints of a script's own do no harm.
"""

from __future__ import annotations

import math
import re
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal

_BREAKS = re.compile(r"[\r\n\b]+")
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf)"
_EPOCH = re.compile(r"^Epoch (\d{1,9})/(\d{1,9})$")
_STEP = re.compile(r"^(\d{1,9})/(\d{1,9})\s")
_METRIC = re.compile(rf"(?<![\w.])([A-Za-z]\w*): ({_NUMBER})(?![\w.])")
_PAIRS = {
    name: re.compile(rf"^{words[0]} ({_NUMBER}), {words[1]} ({_NUMBER})$")
    for name, words in {
        "untrained": ("loss", "acc"),
        "validation": ("final loss", "final acc"),
        "label_book": ("test loss", "test acc"),
    }.items()
}
_REFUSAL = re.compile(r"^Dataset size larger than .*$")
# Far beyond any line of Keras'; what is longer without a break is no line to be understood.
_LONGEST_LINE = 64 * 1024
_TAIL_LINES = 40


@dataclass(frozen=True, slots=True)
class Score:
    """Loss, and accuracy from 0 to 1, of the model on a set of images."""

    loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """One finished epoch: losses, accuracies from 0 to 1, and how long it took (0 where nobody watched it)."""

    number: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float


@dataclass(slots=True)
class Output:
    """What has been parsed so far; `feed` takes more.

    Attributes:
        epoch: The epoch that is running, from 1; 0 before the first.
        epochs: How many there will be; 0 where the script has not said it yet.
        part: How far the running epoch's training is, from 0 to 1.
        history: The finished epochs.
        untrained: Before training, on the validation split.
        validation: Of the best epoch's weights, on the validation split.
        label_book: Of the best epoch's weights, on the label book.
        rounding: By how much the accuracy on the label book may differ from the printed one: half a unit of the last
            digit printed.
        refusal: The script's own words where it refused the dataset's size; empty otherwise.
        tail: The last lines that `feed` gave.
    """

    epoch: int = 0
    epochs: int = 0
    part: float = 0.0
    history: list[Epoch] = field(default_factory=list)
    untrained: Score | None = None
    validation: Score | None = None
    label_book: Score | None = None
    rounding: float = 0.0
    refusal: str = ""
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))
    _rest: str = ""
    _drawn: str = ""
    _began: float = 0.0

    @property
    def best(self) -> Epoch | None:
        """The epoch whose weights the script keeps: the first of the highest validation accuracy."""
        known = [e for e in self.history if not math.isnan(e.val_accuracy)]
        return max(known, key=lambda e: (e.val_accuracy, -e.number), default=None)

    def feed(self, text: str, *, now: float) -> list[str]:
        """Take more output, cut anywhere, at a steady clock's time ``now`` in seconds.

        Returns:
            The final lines: without those that later ones were drawn over, colours and empty ones.
        """
        *lines, self._rest = _BREAKS.split(self._rest + text)
        self._rest = self._rest[-_LONGEST_LINE:]
        return [final for line in lines for final in self._take(line, now)]

    def close(self, *, now: float) -> list[str]:
        """The output has ended: take what came after the last break."""
        lines = self.feed("\n", now=now)
        drawn, self._drawn = self._drawn, ""
        self.tail.extend([drawn] * bool(drawn))
        return lines + [drawn] * bool(drawn)

    def _take(self, raw: str, now: float) -> list[str]:
        line = _COLOURS.sub("", raw).strip()
        if not line:
            return []
        if step := _STEP.match(line):
            # The bar's next state comes in its place; only the last stands.
            self._drawn = line
            self._step(line, int(step[1]), int(step[2]), now)
            return []
        final = [self._drawn, line] if self._drawn else [line]
        self._drawn = ""
        self.tail.extend(final)
        self._parse(line, now)
        return final

    def _parse(self, line: str, now: float) -> None:
        if epoch := _EPOCH.match(line):
            self.epoch, self.epochs, self.part, self._began = int(epoch[1]), int(epoch[2]), 0.0, now
        elif _REFUSAL.match(line):
            self.refusal = line
        else:
            self._score(line)

    def _step(self, line: str, step: int, steps: int, now: float) -> None:
        metrics = {name: float(value) for name, value in _METRIC.findall(line)}
        finished = metrics.keys() >= {"loss", "accuracy", "val_loss", "val_accuracy"}
        if finished and not self.epoch:
            self.epoch = self.epochs = 1  # Keras 2 heads no epoch where it is the only one
        if not self.epoch or (self.history and self.history[-1].number >= self.epoch):
            return  # evaluation before the first epoch or after the last
        self.part = min(1.0, step / steps) if steps else 0.0
        if finished:
            self.part = 1.0
            self.history.append(
                Epoch(
                    number=self.epoch,
                    loss=metrics["loss"],
                    accuracy=metrics["accuracy"],
                    val_loss=metrics["val_loss"],
                    val_accuracy=metrics["val_accuracy"],
                    seconds=max(0.0, now - self._began),
                )
            )

    def _score(self, line: str) -> None:
        for name, pattern in _PAIRS.items():
            if found := pattern.match(line):
                setattr(self, name, Score(float(found[1]), float(found[2])))
                if name == "label_book":
                    self.rounding = _half_a_unit(found[1], found[2])


def _half_a_unit(*numbers: str) -> float:
    """Half a unit of the last digit of the longer number: 0.5 beside 1.9256 is not rounded to one digit."""
    exponents = [Decimal(number).as_tuple().exponent for number in numbers]
    return 0.5 * 10.0 ** min((e for e in exponents if isinstance(e, int)), default=0)


def done_epochs(output: Output) -> float:
    """Epochs done, the running one in part."""
    running = output.part if output.epoch > len(output.history) else 0.0
    return len(output.history) + running


def seconds_left(output: Output, *, now: float, started: float) -> float | None:
    """Seconds that the remaining epochs will take at the pace so far; None before there is a pace.

    ``started`` is when the first epoch began. The last ten finished epochs set the pace, since the first is
    slower and the machine's load changes.
    """
    left = output.epochs - done_epochs(output)
    if output.history:
        recent = output.history[-10:]
        return left * sum(e.seconds for e in recent) / len(recent)
    if output.part > 0.05:
        return left * (now - started) / output.part
    return None
