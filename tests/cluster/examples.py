"""The applications of the examples, on one peer with one and two slots and on three peers, give what their
serial twins give; a failing task shows its chain; nothing is left behind.

    examples.py BUILD_DIRECTORY_OF_EXAMPLES [NAME...]      writes TAP"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import harness
from harness import TICK_S, TIMEOUT_S, Tap, children_of, times_of, wait_for

# program, arguments (small enough that the whole file is a matter of seconds)
CASES = [
    ('uts', ''),
    ('uts', '-t 0 -b 2000 -q 0.124875 -m 8 -r 42'),
    ('uts', '-t 1 -a 3 -d 6 -b 4 -r 19 --chunk 1'),
    ('queens', '--size 10 --rows 2'),
    ('mandelbrot', '--width 200 --height 150 --rows 7'),
    ('mandelbrot', '--width 200 --height 150 --format png'),
    ('pi', '--samples 20000000 --seed 3'),
    ('pricing', '--desks 5 --instruments 40'),
    ('bogosity', '--width 3 --depth 2 --sleep 10'),
    ('bogosity', '--width 3 --depth 2 --sleep 10 --how yield'),
    ('mandelbrot', '--width 200 --height 150 --how range'),
]
# As ranges, whose answers may differ in their last digits where a device computes some of them. A host may have none.
RANGES = [
    ('mandelbrot', '--width 200 --height 150 --how range --output /dev/null'),
    ('pricing', '--desks 5 --instruments 400 --how range'),
    ('saxpy', '--size 300001 -a 0.3'),
    ('nbody', '--bodies 500 --steps 3'),
]
PEERS = ['--px-slots 1', '--px-slots 2', '--px-slots 1 --px-local 2']
DEVICES = ['--px-slots 1 --px-devices all', '--px-slots 1 --px-devices all --px-local 2']


def run(*command, **more):
    return harness.run(*command, text=False, **more)


def comparable(name, answer):
    """Who ran a nap is no part of the answer."""
    return answer.split(b'\n')[0] if name == 'bogosity' else answer


def same_answers(directory, wanted):
    for name, arguments in CASES:
        if wanted and name not in wanted:
            continue
        serial = comparable(name, run(directory / f'{name}-seq', *arguments.split()).stdout)
        for peers in PEERS:
            done = run(directory / name, *peers.split(), *arguments.split())
            got = comparable(name, done.stdout)
            right = done.returncode == 0 and got == serial and len(serial) > 0
            yield right, f'{name} {arguments} {peers}: the serial answer', done


def same_numbers(directory):
    environment = dict(harness.ENVIRONMENT, XDG_CACHE_HOME=str(directory / 'device-cache'))
    for name, arguments in RANGES:
        for peers in PEERS + DEVICES:
            done = run(directory / name, '--check', *peers.split(), *arguments.split(), env=environment)
            right = done.returncode == 0 and b'equal to the serial answer' in done.stderr
            yield right, f'{name} {arguments} {peers}: the serial numbers', done


def checks(directory):
    done = run(directory / 'queens', '--px-slots', 1, '--size', 8, '--check')
    yield done.returncode == 0 and b'equal to' in done.stderr, 'queens --check compares', done
    done = run(directory / 'uts', '--px-slots', 1, '--px-local', 2, '--branch-number',
               'uts.children=0', '--shares', '-d', 8)
    alone = done.stderr.count(b' subtasks in ') == 1
    yield done.returncode == 0 and alone, 'uts with branch number 0 stays on its peer', done
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / 'picture.pgm'
        done = run(directory / 'mandelbrot', '--width', 40, '--height', 30, '--output', path)
        right = done.returncode == 0 and path.read_bytes().startswith(b'P5\n40 30\n255\n')
        yield right and not done.stdout, 'mandelbrot --output writes a file', done


def failures(directory):
    done = run(directory / 'pricing', '--px-slots', 1, '--desks', 4, '--how', 'range', '--fail', 17)
    right = done.returncode == 1 and b'instrument 17: volatility' in done.stderr and not done.stdout
    yield right, 'pricing --how range --fail 17 fails, and says which it was', done
    for peers in PEERS:
        done = run(directory / 'pricing', *peers.split(), '--desks', 4, '--instruments', 10, '--fail', 17)
        chain = done.stderr.decode()
        levels = ['pricing.portfolio', 'pricing.price_desk', 'pricing.price_one',
                  'instrument 17: volatility', 'tasks.c:']
        right = done.returncode == 1 and all(word in chain for word in levels)
        yield right, f'pricing --fail 17 {peers} shows the chain of its error', done
    done = run(directory / 'uts', '--px-slots', 1, '--speed', 3)
    right = done.returncode == 2 and b"unknown option '--speed'" in done.stderr
    yield right, 'uts refuses an unknown option', done
    done = run(directory / 'uts', '--px-slots', 1, '--branch-number', 'uts.children')
    right = done.returncode == 2 and b'wants POINT=N' in done.stderr
    yield right, 'uts refuses a branch number without a number', done
    done = run(directory / 'bogosity', '--timeout', 0.2, '--width', 2, '--depth', 3, '--sleep', 400)
    right = done.returncode == 1 and b'deadline' in done.stderr
    yield right, 'bogosity --timeout gives up', done


def programs(directory):
    done = run(directory / 'readme_embed')
    yield done.returncode == 0 and done.stdout == b'4 9 16\n', 'readme_embed prints its squares', done
    for peers in PEERS:
        done = run(directory / 'readme_self', *peers.split())
        right = done.returncode == 0 and done.stdout == b'283146 primes\n'
        yield right, f'readme_self {peers} counts the primes below 4,000,000', done


def faults(directory):
    """One copy is killed and one frozen while all of them work."""
    job = harness.start(directory / 'uts', *'--px-slots 1 --px-local 3 -g 8'.split(), stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE, text=False)

    def all_work():
        copies = children_of(job.pid)
        return copies if len(copies) == 3 and min(times_of(copy) for copy in copies) >= 10 * TICK_S else None

    copies = wait_for(lambda: all_work() or (job.poll() is not None and ['over']))
    under_way = job.poll() is None
    for copy, how in zip(copies if under_way else [], [signal.SIGKILL, signal.SIGSTOP]):
        os.kill(copy, how)
    out, err = job.communicate(timeout=TIMEOUT_S)
    right = under_way and job.returncode == 0 and out.startswith(b'nodes 4130071\nleaves 3305118\n')
    yield right, 'uts with one copy killed and one frozen: the serial answer', (out, err, copies)


def main(directory, wanted):
    directory = pathlib.Path(directory).resolve()
    tap = Tap()
    tap.run(same_answers(directory, wanted))
    if not wanted:
        tap.run(same_numbers(directory), checks(directory), failures(directory), programs(directory), faults(directory))
    return tap.end()


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], sys.argv[2:]))
