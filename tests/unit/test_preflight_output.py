"""The training's output is parsed in whatever pieces it arrives, and whatever else is printed between."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cldc.preflight.model import Epoch, Score
from cldc.preflight.output import ScriptOutput

KERAS_2 = (
    "Found 40 files belonging to 10 classes.\n"
    "2026-01-01 10:00:00.0: I tensorflow/core/platform/cpu_feature_guard.cc:142] oneDNN\n"
    'Model: "model_1"\n'
    " 1/3 [=====>......] - ETA: 0s - loss: 30.1 - accuracy: 0.1\x08\x08\x08\r3/3 [====] - 0s - loss: 30.0 - accuracy: 0.2\n"
    "loss 30.0, acc 0.2\n"
    "Epoch 1/3\n"
    "1/5 [=====>......] - ETA: 9s - loss: 2.5000 - accuracy: 0.1000"
    "\x08\x08\r5/5 [====] - 2s 30ms/step - loss: 2.4000 - accuracy: 0.2000 - val_loss: 2.2000 - val_accuracy: 0.3000\n"
    "Epoch 2/3\n"
    "5/5 [====] - 2s 30ms/step - loss: 2.0e+00 - accuracy: 0.4000 - val_loss: 1.9000 - val_accuracy: 0.5000\n"
    "\nEpoch 00002: val_accuracy improved from 0.30000 to 0.50000, saving model to best_model\n"
    "Epoch 3/3\n"
    "5/5 [====] - 2s 30ms/step - loss: nan - accuracy: 0.1000 - val_loss: nan - val_accuracy: 0.5000\n"
    "3/3 [====] - 0s - loss: 1.9 - accuracy: 0.5\n"
    "final loss 1.9, final acc 0.5\n"
    "7/7 [====] - 0s - loss: 2.1 - accuracy: 0.4\n"
    "test loss 2.1, test acc 0.40384614"
)
KERAS_3 = (
    "Epoch 1/2\n"
    "\x1b[1m1/5\x1b[0m \x1b[37m━━━━\x1b[0m \x1b[1m14s\x1b[0m 3s/step - accuracy: 0.0 - loss: 2.9\x08\x08\x08"
    "\x1b[1m5/5\x1b[0m \x1b[32m━━━━\x1b[0m \x1b[1m23s\x1b[0m 9ms/step - accuracy: 0.0857 - loss: 2.7386 - val_accuracy: 0.1 - val_loss: 3.0909\n"
    "final loss 3.0, final acc 0.1\n"
)
EVERY_BREAK = re.compile(r"[\r\n\x08]")


def understood(*pieces: str) -> tuple[ScriptOutput, list[str]]:
    output, lines = ScriptOutput(), []
    for piece in pieces:
        lines += output.feed(piece, now=0.0)
    return output, lines + output.close(now=0.0)


def test_the_output_of_keras_2_and_the_scripts_own_lines_are_read() -> None:
    output, lines = understood(KERAS_2)
    assert output.untrained == Score(30.0, 0.2)
    assert output.validation == Score(1.9, 0.5)
    assert output.label_book == Score(2.1, 0.40384614)
    assert output.history[:2] == [Epoch(1, 2.4, 0.2, 2.2, 0.3, 0.0), Epoch(2, 2.0, 0.4, 1.9, 0.5, 0.0)]
    assert math.isnan(output.history[2].loss)
    assert output.best is not None
    assert output.best.number == 2
    assert (output.epochs, output.epochs_done) == (3, 3)
    # Of a bar that is drawn again and again, the last state alone is kept.
    assert [line for line in lines if "ETA" in line] == []
    assert sum("loss: 2.4000" in line for line in lines) == 1
    assert lines[-1] == "test loss 2.1, test acc 0.40384614"


def test_a_single_epoch_has_no_heading() -> None:
    output, _ = understood(KERAS_2.partition("Epoch 2/3\n")[0].replace("Epoch 1/3\n", ""))
    assert output.untrained == Score(30.0, 0.2)
    assert output.history == [Epoch(1, 2.4, 0.2, 2.2, 0.3, 0.0)]
    assert (output.epochs, output.epochs_done) == (1, 1)


def test_the_output_of_keras_3_is_read_and_its_colours_removed() -> None:
    output, lines = understood(KERAS_3)
    assert output.history == [Epoch(1, 2.7386, 0.0857, 3.0909, 0.1, 0.0)]
    assert output.validation == Score(3.0, 0.1)
    assert not any("\x1b" in line for line in lines)


def test_the_refusal_of_too_many_images_is_recognized() -> None:
    output, _ = understood("Dataset size larger than 10,000. Got 10008 examples\n")
    assert output.refusal == "Dataset size larger than 10,000. Got 10008 examples"


@pytest.mark.parametrize("text", [KERAS_2, KERAS_3])
@given(st.data())
def test_output_means_the_same_in_whatever_pieces_it_arrives(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=20)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole, lines = understood(text)
    cut, cut_lines = understood(*pieces)
    assert cut_lines == lines
    assert repr(cut) == repr(whole)  # repr, since no number equals itself where it is nan


def harmless(line: str) -> bool:
    return not re.match(
        r"\s*(\d+/\d+\s|Epoch |Dataset size|(final |test )?loss )",
        re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", line),
    )


@given(
    st.lists(
        st.text(max_size=80).filter(lambda t: not EVERY_BREAK.search(t)).filter(harmless),
        min_size=1,
        max_size=8,
    ),
    st.randoms(),
)
def test_lines_of_others_change_nothing(noise: list[str], chance: object) -> None:
    lines = KERAS_2.split("\n")
    for line in noise:
        lines.insert(chance.randrange(len(lines)), line)  # type: ignore[attr-defined]
    output, _ = understood("\n".join(lines))
    plain, _ = understood(KERAS_2)
    assert repr(output.history) == repr(plain.history)
    assert (output.validation, output.label_book) == (plain.validation, plain.label_book)


@given(
    st.lists(
        st.one_of(
            st.text(),
            st.sampled_from(KERAS_2.split("\n")),
            st.sampled_from(["\n", "\r", "0/0 x", "9/0 ", "Epoch 0/0"]),
        )
    )
)
def test_whatever_a_script_prints_the_progress_is_one_line(pieces: list[str]) -> None:
    output, _ = understood(*pieces)
    assert 0 <= output.part <= 1
    assert len(output.describe(now=1.0).splitlines()) <= 1


def test_a_line_without_end_is_not_hoarded() -> None:
    output = ScriptOutput()
    for _ in range(100):
        output.feed("x" * 10_000, now=0.0)
    assert len(repr(output)) < 100_000


def test_the_time_left_follows_the_pace() -> None:
    output = ScriptOutput()
    output.feed("Epoch 1/10\n1/4 [=>..] - ETA: 6s - loss: 2.5 - accuracy: 0.1\n", now=0.0)
    assert output.seconds_left(now=2.0) == pytest.approx(9.75 * 2.0 / 0.25)
    bar = "4/4 [====] - 8s - loss: 2.4 - accuracy: 0.2 - val_loss: 2.2 - val_accuracy: 0.3\n"
    output.feed(bar, now=8.0)
    assert output.seconds_left(now=8.0) == pytest.approx(9 * 8.0)
    assert output.describe(now=8.0) == "epoch 1/10  val 30 %  best 30 % (1)  72 s left"
