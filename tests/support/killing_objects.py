"""Kills a driver at each change that it makes to an object store in turn, finishes what it left.

    python killing_objects.py BASE PLACE TRIALS STRIDE

As ``killing``, for the run at the URI BASE; the store does the killing, as ``object_store`` says.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from tempfile import TemporaryDirectory

import pandas  # noqa: F401 - pyarrow would import it anew in every child
import stored_runs
from killing import in_child
from object_store import mortal
from pyarrow import fs

from orchestrator.runs.reader import Run
from orchestrator.runs.storage.bucket import Bucket


def finish_and_die(base: str, place: str, trials: range, point: int) -> None:
    source, target = Bucket.at(base), Bucket.at(place)
    fs.copy_files(source.base, target.base, source.filesystem, target.filesystem, use_threads=False)
    os.environ["AWS_ACCESS_KEY_ID"] = mortal(point)
    stored_runs.finish(place, trials)


def finish_and_print(place: str, trials: range, point: int) -> None:
    before, current = (
        Run(place).steps.num_rows,
        Run(place).count("done"),
    )  # what was left can be read as it is
    stored_runs.finish(place, trials)
    with TemporaryDirectory() as copy:  # a digest reads every column by itself: far quicker from a disk
        finished = Bucket.at(place)
        fs.copy_files(finished.base, copy, finished.filesystem, use_threads=False)
        print(point, before, current, stored_runs.said(copy))


def main(base: str, places: str, trials: range, stride: int) -> None:
    for point in count(0, stride):
        place = f"{places}/{point}"
        ended = in_child(lambda place=place, point=point: finish_and_die(base, place, trials, point))
        if ended not in (0, -signal.SIGKILL) or in_child(
            lambda place=place, point=point: finish_and_print(place, trials, point)
        ):
            sys.exit(f"change {point}: the driver ended with {ended}")
        if ended == 0:
            return


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], stored_runs.numbers(sys.argv[3]), int(sys.argv[4]))
