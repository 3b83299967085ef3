#!/usr/bin/env python3
"""A loop among peers of different speed: some take four times as long for each subtask, and nobody has declared
anything. How far is it from the ideal for that mix, in which each peer does what it can until all end together?

    python3 bench/speeds.py BUILD [--repeats N] [--json FILE]

Peers of one slot each on this host; subtasks keep their slot and no processor, so that as many peers as there are
run at their own speed. Printed are medians: seconds, the ideal's, and one over the other. Exit: 0; 1 it took over
1.15 of the ideal somewhere; 2 usage."""

import argparse
import json
import pathlib
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'tests/cluster'))

from harness import Peerd, run  # noqa: E402
from links import read  # noqa: E402

SLOWER, WORST = 4, 1.15
MODULE = 'tests/cluster/work.so'
MIXES = [(0, 1), (1, 1), (2, 1), (1, 2), (4, 4)]  # peers beside the one that asks: as fast as it, and slow ones
LOADS = [(60, 20), (200, 5), (40, 100)]  # subtasks, ms


def ideal_ms(count, each_ms, fast, slow):
    """With whole subtasks: the first moment at which so many have ended."""
    ends = sorted(each_ms * speed * n for speed, peers in ((1, 1 + fast), (SLOWER, slow)) for _ in range(peers)
                  for n in range(1, count + 1))
    return ends[count - 1]


def play(build, addresses, count, each_ms):
    done = run(build / 'tests/cluster/job', '--listen', 'tcp://127.0.0.1:0', 1, ','.join(addresses), len(addresses),
               build / MODULE, 'work.loads', f'{count} {each_ms * 1000} 100 16 0', 'work.loads=65535')
    return 1e3 * read(done, count, f'{count} x {each_ms} ms')[1]


def measure(build, fast, slow, repeats):
    with tempfile.TemporaryDirectory() as directory:
        names = [f'fast{i}' for i in range(fast)] + [f'slow{i}' for i in range(slow)]
        peers = [Peerd(build, directory, name, modules=(MODULE,)) for name in names]
        try:
            for count, each_ms in LOADS:
                took = statistics.median(play(build, [peer.address for peer in peers], count, each_ms)
                                         for _ in range(repeats))
                yield {'fast': fast, 'slow': slow, 'count': count, 'each_ms': each_ms, 'took_ms': took,
                       'ideal_ms': ideal_ms(count, each_ms, fast, slow)}
        finally:
            for peer in peers:
                peer.kill()


def main():
    parser = argparse.ArgumentParser(usage='speeds.py BUILD [--repeats N] [--json FILE]')
    parser.add_argument('build', type=pathlib.Path)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--json', type=pathlib.Path)
    given = parser.parse_args()
    rows = []
    print('as fast   4 x slower   subtasks     took ms   ideal ms')
    for fast, slow in MIXES:
        for row in measure(given.build.resolve(), fast, slow, given.repeats):
            rows.append(row)
            ratio = row['took_ms'] / row['ideal_ms']
            print(f"{fast:7} {slow:12}   {row['count']:4} x {row['each_ms']:3} ms {row['took_ms']:9.1f} "
                  f"{row['ideal_ms']:10.1f} {ratio:7.2f}{'' if ratio <= WORST else '  <--'}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + '\n')
    return 0 if all(row['took_ms'] <= WORST * row['ideal_ms'] for row in rows) else 1


if __name__ == '__main__':
    try:
        sys.exit(main())
    except RuntimeError as wrong:
        sys.exit(str(wrong))
