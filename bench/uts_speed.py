"""Speed of UTS: the serial twin, then 1, 2 and 4 local peers of one slot, one peer of 2 slots, and a task per node
on 1 and 2 slots.

    uts_speed.py EXAMPLES_DIRECTORY [--runs 5] [--json]

Times are each program's own (start of the job to its answer, peers already there), median of the runs with
minimum and maximum; the rounds are interleaved, so that a slow minute of the host hits every column. Each
answer is compared with the published count; one wrong count ends the run."""

import argparse
import json
import re
import statistics
import subprocess
import sys

TREES = {
    'T1': ('-t 1 -a 3 -d 10 -b 4 -r 19', 4130071),
    'T3': ('-t 0 -b 2000 -q 0.124875 -m 8 -r 42', 4112897),
}
SET_UPS = {
    'serial': None,
    '1 peer': '--px-slots 1',
    '2 slots': '--px-slots 2',
    '2 peers': '--px-slots 1 --px-local 1',
    '4 peers': '--px-slots 1 --px-local 3',
    'node 1': '--px-slots 1 --chunk 1',  # a task for every node that has children
    'node 2': '--px-slots 2 --chunk 1',
}


def measure(directory, arguments, nodes, set_up):
    program = ['uts-seq'] if set_up is None else ['uts'] + set_up.split()
    command = [f'{directory}/{program[0]}'] + program[1:] + arguments.split()
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode or f'nodes {nodes}\n' not in done.stdout:
        sys.exit(f'{" ".join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}')
    return float(re.search(r': ([0-9.]+) s$', done.stderr, re.M).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('directory')
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--extra', default='', help='more options of uts, e.g. "--chunk 1000"')
    parser.add_argument('--json', action='store_true')
    options = parser.parse_args()
    results = {}
    for tree, (arguments, nodes) in TREES.items():
        times = {name: [] for name in SET_UPS}
        for _ in range(options.runs):
            for name, set_up in SET_UPS.items():
                extra = ' ' + options.extra
                times[name].append(measure(options.directory, arguments + extra, nodes, set_up))
        serial = statistics.median(times['serial'])
        results[tree] = {name: {'median_s': statistics.median(t), 'min_s': min(t), 'max_s': max(t),
                                'speedup': serial / statistics.median(t),
                                'nodes_per_s': nodes / statistics.median(t)}
                         for name, t in times.items()}
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for tree, row in results.items():
        for name, r in row.items():
            print(f'{tree} {name:8} {r["median_s"]:.3f} s [{r["min_s"]:.3f} .. {r["max_s"]:.3f}] '
                  f'{r["nodes_per_s"] / 1e6:6.2f} M nodes/s  {r["speedup"]:.2f} x serial')


if __name__ == '__main__':
    main()
