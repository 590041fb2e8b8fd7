"""Parse the training script's output, line by line as it arrives.

The script's own lines are the competition's; the progress in between is Keras', which redraws a line with
carriage returns or backspaces (Keras 2) and colours it (Keras 3). Other lines are ignored, so warnings of
TensorFlow and a script's own prints do no harm.
"""

from __future__ import annotations

import math
import re
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal

from cldc.preflight.model import Epoch, Score
from cldc.text import duration

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
# Far longer than any line of Keras; longer lines are not parsed.
_LONGEST_LINE = 64 * 1024
_TAIL_LINES = 40


@dataclass(slots=True)
class ScriptOutput:
    """The output parsed so far; `feed` adds more.

    Attributes:
        epoch: The epoch that is running, from 1; 0 before the first.
        epochs: Number of epochs; 0 before the script prints it.
        part: Progress of the running epoch, from 0 to 1.
        history: The finished epochs.
        untrained: Score before training, on the validation split.
        validation: Score of the best epoch's weights, on the validation split.
        label_book: Score of the best epoch's weights, on the label book.
        rounding: By how much the accuracy on the label book may differ from the printed one: half a unit of the last
            digit printed.
        refusal: The script's message if it refused the dataset's size; empty otherwise.
        tail: The last lines that `feed` returned.
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
    _began: float = 0.0  # the running epoch

    @property
    def best(self) -> Epoch | None:
        """The epoch whose weights the script keeps: the first with the highest validation accuracy."""
        known = [e for e in self.history if not math.isnan(e.val_accuracy)]
        return max(known, key=lambda e: (e.val_accuracy, -e.number), default=None)

    @property
    def epochs_done(self) -> float:
        """Number of finished epochs, plus the finished share of the running one."""
        return len(self.history) + (self.part if self.epoch > len(self.history) else 0.0)

    def seconds_left(self, *, now: float) -> float | None:
        """Estimate the seconds that the remaining epochs will take at the pace so far; None before the pace is known.

        The last ten finished epochs set the pace, since the first is slower and the machine's load changes; before any
        has finished, the running one does.
        """
        left = self.epochs - self.epochs_done
        if self.history:
            recent = self.history[-10:]
            return left * sum(epoch.seconds for epoch in recent) / len(recent)
        if self.part > 0.05:
            return left * (now - self._began) / self.part
        return None

    def describe(self, *, now: float) -> str:
        """Format the progress: ``epoch 23/100  val 61 %  best 63 % (19)  8 min left``."""
        if not self.epoch:
            return "starting TensorFlow"
        words = [f"epoch {self.epoch}/{self.epochs}"]
        if self.history:
            words.append(f"val {100 * self.history[-1].val_accuracy:.0f} %")
        if best := self.best:
            words.append(f"best {100 * best.val_accuracy:.0f} % ({best.number})")
        if (left := self.seconds_left(now=now)) is not None:
            words.append(f"{duration(left)} left")
        return "  ".join(words)

    def feed(self, text: str, *, now: float) -> list[str]:
        """Parse more output, cut anywhere; ``now`` is the monotonic time in seconds.

        Returns:
            The final lines, without overwritten and empty lines and without colours.
        """
        *lines, self._rest = _BREAKS.split(self._rest + text)
        self._rest = self._rest[-_LONGEST_LINE:]
        return [final for line in lines for final in self._take(line, now)]

    def close(self, *, now: float) -> list[str]:
        """Parse the rest after the last line break, once the output has ended."""
        lines = self.feed("\n", now=now)
        drawn, self._drawn = self._drawn, ""
        self.tail.extend([drawn] * bool(drawn))
        return lines + [drawn] * bool(drawn)

    def _take(self, raw: str, now: float) -> list[str]:
        line = _COLOURS.sub("", raw).strip()
        if not line:
            return []
        if step := _STEP.match(line):
            # The bar's next state overwrites it; only the last one stays.
            self._drawn = line
            self._step(line, int(step[1]), int(step[2]), now)
            return []
        final = [self._drawn, line] if self._drawn else [line]
        self._drawn = ""
        self.tail.extend(final)
        if epoch := _EPOCH.match(line):
            self.epoch, self.epochs, self.part, self._began = int(epoch[1]), int(epoch[2]), 0.0, now
        elif _REFUSAL.match(line):
            self.refusal = line
        for name, pattern in _PAIRS.items():
            if found := pattern.match(line):
                setattr(self, name, Score(float(found[1]), float(found[2])))
                if name == "label_book":
                    # Of the longer number: beside 1.9256, 0.5 is not rounded to one digit.
                    exponents = [Decimal(number).as_tuple().exponent for number in found.groups()]
                    last_digit = min((e for e in exponents if isinstance(e, int)), default=0)
                    self.rounding = 0.5 * 10.0**last_digit
        return final

    def _step(self, line: str, step: int, steps: int, now: float) -> None:
        metrics = {name: float(value) for name, value in _METRIC.findall(line)}
        finished = metrics.keys() >= {"loss", "accuracy", "val_loss", "val_accuracy"}
        if finished and not self.epoch:
            self.epoch = self.epochs = 1  # Keras 2 prints no epoch heading if there is only one epoch
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
