"""What bench/reality.py compares is the same thing: real peers that walk a tree of the simulator give the answer
that its worlds give, whatever befalls one of them, and count their messages; a world is its seed's.

    reality.py BUILD_DIRECTORY      writes TAP. Nothing here is timed: bench/reality.py is for that"""

import json
import pathlib
import re
import sys

from harness import Tap, run

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SPLIT = 'split:work=1800ms,leaf=10ms,parts=2'
FLAT = 'flat:n=120,leaf=10ms,law=uniform'
EARLY = ['--at-ms', 50, '--detect-ms', 300]

# peers, slots, tree, fault
RUNS = [
    (4, 1, SPLIT, 'none'),
    (3, 2, 'random:depth=3,fan=3,leaf=5ms,inner=2ms,law=exponential', 'none'),
    (3, 1, SPLIT, 'killed'),
    (3, 1, FLAT, 'killed'),
    (3, 1, SPLIT, 'frozen'),
    (3, 1, FLAT, 'frozen'),
]

# arguments, words of stderr
REFUSALS = [
    (['--tree', 'oak'], 'not split, random or flat'),
    (['--fault', 'tired'], 'none, killed or frozen'),
    (['--peers', 3, '--victim', 4], 'fewer peers'),
    (['--tree', 'flat:n=1000000'], 'more than a million tasks'),
    (['more'], 'unexpected argument'),
]


def told(done):
    return [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []


def same_answers(program):
    for peers, slots, tree, fault in RUNS:
        words = ['--peers', peers, '--slots', slots, '--tree', tree, '--fault', fault, *EARLY]
        worlds = told(run(program, *words, '--worlds', 3))
        done = run(program, *words)
        real = told(done)
        name = f'{peers} peers of {slots}, {tree}, {fault}'
        yield len(worlds) == 3 and len({world['hash'] for world in worlds}) == 1, f'predicted: {name}', worlds
        right = len(real) == 1 and real[0]['hash'] == worlds[0]['hash'] and real[0]['tasks'] == worlds[0]['tasks']
        yield right, f'measured, with the same answer: {name}', done
        yield right and 0 < real[0]['messages_work'] < real[0]['messages_sent'], f'messages are counted: {name}', done


def worlds_by_seed(program):
    words = ['--tree', SPLIT, '--worlds', 3]
    once, again = run(program, *words), run(program, *words)
    yield once.stdout == again.stdout, 'a world is the same again', once
    makespans = {world['makespan_s'] for world in told(once)}
    yield len(makespans) > 1, 'worlds of other seeds are others', once


def refusals(program):
    for arguments, words in REFUSALS:
        done = run(program, *arguments)
        yield done.returncode == 2 and words in done.stderr, f'refused: {words}', done


def comparison(build):
    done = run(sys.executable, SOURCE / 'bench/reality.py', build / 'bench', '--rounds', 1, '--worlds', 1,
               '--only', '4x1', 'flat', 'none', timeout_s=150)
    rows = [line for line in done.stdout.splitlines() if re.match(r' 4 x 1  flat   none   \|', line)]
    yield done.returncode == 0 and len(rows) == 1, 'bench/reality.py compares', done


def main(build):
    tap, program = Tap(), build / 'bench/reality'
    tap.run(same_answers(program), worlds_by_seed(program), refusals(program), comparison(build))
    return tap.end()


if __name__ == '__main__':
    sys.exit(main(pathlib.Path(sys.argv[1])))
