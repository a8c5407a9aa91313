"""Try what a study names for a few steps: networks, data sets, optimizers and losses.

In:  a study (--study), and the answers of earlier calls.
Out: a JSON file with an answer for each question (--output): why it is refused, or an empty text.

The workflow and check.py call it when something has not been tried yet, and say what is refused.
"""

import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optlab import errors
from optlab.command_line import study_parser
from optlab.custom import reach
from optlab.errors import UserError, in_one_line
from optlab.machine import devices, owner
from optlab.probe import answers, questions
from optlab.probe.questions import Question
from optlab.study import reading

PAUSE = 1.0  # seconds between two times that the answers are written


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    arguments = study_parser(__doc__, "output").parse_args(words)
    owner.follow()
    study = reading.load(arguments.study)
    asked = questions.of_study(study)
    if any(question.run.device != "cpu" for question in asked) and devices.present():
        devices.take(1)
    output = arguments.output.absolute()
    found = answers.read(output)
    written = 0.0
    try:
        for answered in ask(study, asked, found):
            found |= answered
            if time.monotonic() > written + PAUSE:  # the next one may end this process
                answers.write(output, asked, found)
                written = time.monotonic()
    finally:
        answers.write(output, asked, found)
    return 0


def ask(
    study: dict[str, Any], asked: Sequence[Question], found: Mapping[str, str]
) -> Iterator[dict[str, str]]:
    """Answer the questions that have no answer, data set by data set."""
    import torch

    from optlab.probe import trial

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of other people's code, on the first steps of nothing
    loaded: dict[str, Any] = {}
    for question in asked:
        if question.mark in found or not answers.is_open(question, found):
            continue
        name = question.run.data
        before = set(sys.modules)
        try:
            if name not in loaded:
                loaded = {name: trial.data_of(study, question.run)}  # one at a time
            with trial.apart():
                reason = trial.answer(question, loaded[name])
        except UserError as error:
            reason = str(error)
        if reason:
            print(f"{question.stage} {question.run.path}: {reason}", flush=True)
        answered = {question.mark: reason}
        if missed := reach.missed(question.run.code, set(sys.modules) - before):
            answered[answers.note_of(question)] = answers.UNFOLLOWED.format(", ".join(missed))
        yield answered


if __name__ == "__main__":
    errors.end(main())
