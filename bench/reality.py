"""The simulator against reality: the same trees, seeds and faults on virtual peers and on real ones.

    reality.py BUILD_DIRECTORY/bench [--rounds 9] [--worlds 15] [--only WORDS] [--json FILE] [--demand]

Real peers are processes of this host whose tasks walk the simulator's trees and sleep where its virtual
executors let time pass, with the slot held: 16 of them work at once on any machine. The virtual network's
delay is half the round trip that the real peers' own cores have measured, the delay of executors' notices what
a remote call without work takes longer than that.

A tree (a seed) runs once on real peers and in --worlds virtual worlds, which differ by the seed of every random
choice. Its prediction is the median of those; a row's ratio is the median over the seeds of measured to
predicted. A round is as many seeds at once as make 16 peers. Messages are those about work: the membership's
depend on how long a cluster was up.
Rows whose makespan is off by more than 15 %, or messages by more than 10 %, are marked. With --demand the exit
code is 1 when that is true of any row's makespan, or of the median row's messages."""

import argparse
import concurrent.futures
import json
import statistics
import subprocess
import sys

LAYOUTS = [(4, 1), (8, 1), (16, 1), (4, 2)]  # peers, slots of each
AT_ONCE = 16  # peers
FAULTS = ['none', 'killed', 'frozen']
IDEAL_S = 2
FAULT_AT_MS = 800
LEAF_MS = 50
BANDS = {'makespan_s': 0.15, 'messages_work': 0.10}  # how far off a ratio may be


def trees(slots):
    yield 'split', f'split:work={IDEAL_S * slots}s,leaf={LEAF_MS}ms,parts=2'
    yield 'flat', f'flat:n={IDEAL_S * slots * 1000 // LEAF_MS},leaf={LEAF_MS}ms,law=uniform'


def rows(only):
    for peers, slots in LAYOUTS:
        for shape, tree in trees(peers * slots):
            for fault in FAULTS:
                row = {'peers': peers, 'slots': slots, 'shape': shape, 'tree': tree, 'fault': fault}
                if set(only) <= {f'{peers}x{slots}', shape, fault}:
                    yield row


def run(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f'{done.args}: exit {done.returncode}: {done.stderr}')
    return list(values(done.stdout))


def values(text):
    """One after the other, each on as many lines as it likes."""
    while text := text.strip():
        value, end = json.JSONDecoder().raw_decode(text)
        yield value
        text = text[end:]


def calibrate(directory):
    """Microseconds: a round trip between idle cores, and how late a notice is at most. A remote call without
    work is a round trip and three notices (there is surplus, it is taken, it is done), each half of that."""
    program = f'{directory}/reality'
    rtts = [run(program, '--peers', 4, '--tree', 'flat:n=4,leaf=1ms')[0]['rtt_us'] for _ in range(5)]
    tables = run(f'{directory}/../tools/peer-bench', 'call', '--sizes', 1, '--calls', 500, '--json', '-')[0]['tables']
    call_us = next(figure['median'] for table in tables for figure in table['figures']
                   if figure['line'] == 'peerexec p50')
    rtt_us = statistics.median(rtts)
    return round(rtt_us), round(max(0, call_us - rtt_us) / 1.5)


def compare_one(directory, row, seed, options, delays):
    program, one = f'{directory}/reality', {'seed': seed}
    arguments = ['--peers', row['peers'], '--slots', row['slots'], '--tree', row['tree'], '--seed', seed,
                 '--fault', row['fault'], '--victim', 2 + seed % (row['peers'] - 1), '--at-ms', FAULT_AT_MS]
    measured = run(program, *arguments)[0]
    worlds = run(program, *arguments, '--worlds', options.worlds, *delays)
    for figure in ['makespan_s', 'messages_work', 'attempts_redone']:
        one[figure] = {'predicted': statistics.median(world[figure] for world in worlds),
                       'measured': measured[figure]}
    return one


def compare(directory, row, options, delays):
    n_at_once = AT_ONCE // row['peers']
    seeds = range(1, options.rounds * n_at_once + 1)
    with concurrent.futures.ThreadPoolExecutor(n_at_once) as threads:
        row['seeds'] = list(threads.map(lambda seed: compare_one(directory, row, seed, options, delays), seeds))
    row['ratio'] = {figure: statistics.median(one[figure]['measured'] / one[figure]['predicted']
                                              for one in row['seeds'])
                    for figure in BANDS}
    row['off'] = [figure for figure, band in BANDS.items() if abs(row['ratio'][figure] - 1) > band]


def median_of(row, figure, what):
    return statistics.median(seed[figure][what] for seed in row['seeds'])


def show(row):
    cells = [f'{row["peers"]:2} x {row["slots"]}  {row["shape"]:5}  {row["fault"]:6}']
    for figure, form in [('makespan_s', '7.3f'), ('messages_work', '7.0f'), ('attempts_redone', '5.0f')]:
        cells.append(' '.join(format(median_of(row, figure, what), form) for what in ['predicted', 'measured']))
        if figure in BANDS:
            cells[-1] += f'  {row["ratio"][figure]:5.2f}'
    print(' | '.join(cells) + ('  off' if row['off'] else ''), flush=True)


def holds(found):
    messages = statistics.median(row['ratio']['messages_work'] for row in found)
    return abs(messages - 1) <= BANDS['messages_work'] and not any('makespan_s' in row['off'] for row in found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('directory')
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--worlds', type=int, default=15)
    parser.add_argument('--only', nargs='*', default=[], help='rows with all of these, e.g. 8x1 split frozen')
    parser.add_argument('--json', help='file for every figure')
    parser.add_argument('--demand', action='store_true')
    options = parser.parse_args()
    rtt_us, notice_us = calibrate(options.directory)
    print(f'round trip {rtt_us} us, notices up to {notice_us} us late; predicted, measured, ratio')
    print('peers x slots        | makespan, s            | messages about work   | redone')
    found = []
    for row in rows(options.only):
        compare(options.directory, row, options, ['--rtt-us', rtt_us, '--notice-us', notice_us])
        show(row)
        found.append(row)
    if options.json:
        with open(options.json, 'w', encoding='utf-8') as file:
            json.dump({'rtt_us': rtt_us, 'notice_us': notice_us, 'rows': found}, file, indent=1)
    for figure in BANDS:
        ratios = [row['ratio'][figure] for row in found]
        print(f'{figure}: median of the rows {statistics.median(ratios):.2f} '
              f'[{min(ratios):.2f} .. {max(ratios):.2f}]')
    return 1 if options.demand and not holds(found) else 0


if __name__ == '__main__':
    sys.exit(main())
