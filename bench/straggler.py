"""64 subtasks of 50 ms on four peers of one slot; half way one peer is killed, or frozen.

    straggler.py EXAMPLES_DIRECTORY [--runs 5]

The root sleeps 50 ms as well before it opens its branch: ideal 0.85 s. The fault comes 0.45 s after the
copies were started (they join within some 30 ms), to each copy in turn; it is the run's only one.
Times are the program's own, from submitting the job to its answer; the answer counts the tasks that
ran."""

import argparse
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import time

OPTIONS = '--px-slots 1 --px-local 3 --width 64 --depth 1 --sleep 50'
FAULT_AFTER_S = 0.45
FAULTS = {'no fault': None, 'killed': signal.SIGKILL, 'frozen': signal.SIGSTOP}


def children(pid):
    path = pathlib.Path(f'/proc/{pid}/task/{pid}/children')
    return [int(word) for word in path.read_text().split()]


def wait_for_copies(job):
    """Three copies, each with its listening peer up: the job starts when all of them have joined."""
    while job.poll() is None:
        copies = children(job.pid)
        if len(copies) == 3:
            return copies
        time.sleep(0.001)
    sys.exit('the program ended early: ' + job.stderr.read())


def run_once(directory, fault, turn):
    job = subprocess.Popen([f'{directory}/bogosity'] + OPTIONS.split(), stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)
    copies = wait_for_copies(job)
    time.sleep(FAULT_AFTER_S)
    happened = fault is None or job.poll() is None
    if fault is not None and happened:
        os.kill(copies[turn % 3], fault)
    out, err = job.communicate(timeout=60)
    if job.returncode or not out.startswith('65 tasks') or not happened:
        sys.exit(f'exit {job.returncode}, fault happened: {happened}\n{out}{err}')
    return float(re.search(r': ([0-9.]+) s$', err, re.M).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('directory')
    parser.add_argument('--runs', type=int, default=5)
    options = parser.parse_args()
    for name, fault in FAULTS.items():
        times = [run_once(options.directory, fault, turn) for turn in range(options.runs)]
        print(f'{name:9} {statistics.median(times):.3f} s [{min(times):.3f} .. {max(times):.3f}]')


if __name__ == '__main__':
    main()
