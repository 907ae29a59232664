"""Kills a driver at each of its changes to an object store in turn, then finishes the run.

    python killing_objects.py BASE FOLDER TRIALS STRIDE

Works like ``killing``, with the run at the URI BASE and copies of it below the URI FOLDER. The server of
``object_store`` kills the driver.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count

import pandas  # noqa: F401 - pyarrow would import it anew in every child
import stored_runs
from killing import in_child
from object_store import mortal
from pyarrow import fs

from orchestrator.runs import manifest
from orchestrator.runs.reader import Run
from orchestrator.runs.storage.bucket import Bucket

manifest.FANOUT = 4  # a quarter of the commits, and of the requests, come before a merge


def copy_inside_store(source: Bucket, target: Bucket) -> None:
    """Copies a run with one request per object; ``fs.copy_files`` sends six."""
    selector = fs.FileSelector(source.base, recursive=True)
    for info in source.filesystem.get_file_info(selector):
        if info.type == fs.FileType.File:
            source.filesystem.copy_file(info.path, target.base + info.path.removeprefix(source.base))


def finish_and_die(base: str, uri: str, trials: range, point: int) -> None:
    copy_inside_store(Bucket.at(base), Bucket.at(uri))
    os.environ["AWS_ACCESS_KEY_ID"] = mortal(point)
    stored_runs.finish(uri, trials)


def finish_and_print(uri: str, trials: range, point: int) -> None:
    # the run of the killed driver is readable as it is
    before, current = Run(uri).steps.num_rows, Run(uri).count("done")
    stored_runs.finish(uri, trials)
    print(point, before, current, stored_runs.fingerprint(uri))


def main(base: str, folder: str, trials: range, stride: int) -> None:
    for point in count(0, stride):
        uri = f"{folder}/{point}"
        ended = in_child(lambda uri=uri, point=point: finish_and_die(base, uri, trials, point))
        if ended not in (0, -signal.SIGKILL) or in_child(
            lambda uri=uri, point=point: finish_and_print(uri, trials, point)
        ):
            sys.exit(f"change {point}: the driver ended with {ended}")
        if ended == 0:
            return


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], stored_runs.numbers(sys.argv[3]), int(sys.argv[4]))
