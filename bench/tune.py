"""Is what peer-tune chooses as good as what trying everything finds? Four programs of different shape
(bench/tune), each tuned, then swept: every combination of branch numbers, in turns, so that a drift of the machine
meets all of them. What was chosen and the best of the sweep then run in turns once more, so that luck of the sweep is
not held against the choice. A second peer-tune must start from the profile of the first.

    tune.py [--build DIR] [--peers N] [--repeats N] [--small] [--json FILE] [SHAPE]...

The exit code is 1 where a choice is more than 5 % above the best of the sweep, took more than 12 runs for a branch
point, or was not found again. On a quiet machine only: it compares times. About four minutes."""

import argparse
import itertools
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

SHAPES = {  # the argument, and one for a trial of the script itself
    'wide': ('256 3000000', '24 300000'),
    'deep': ('9 1000000', '5 200000'),
    'nested': ('6 40 3000000', '3 8 300000'),
    'heavy': ('64 4000000', '8 400000'),
}
NEAR = 1.05
RUNS_MAX = 12  # for each branch point


def tool(build, name, *arguments):
    done = subprocess.run([build / 'tools' / name, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f'{name}: {done.stderr}')
    return done


class Cluster:
    """Peers of one slot each, ended when the block is left."""

    def __init__(self, build, directory, module, n):
        self.processes, self.address = [], None
        for i in range(n):
            ready = pathlib.Path(directory) / f'w{i}'
            join = ['--join', self.address] if self.address else []
            self.processes.append(subprocess.Popen(
                [build / 'tools/peerd', '--name', f'w{i}', '--slots', '1', '--module', module, '--ready-file', ready,
                 *join], stderr=subprocess.DEVNULL))
            while not ready.exists():
                if self.processes[-1].poll() is not None:
                    sys.exit('peerd does not start')
            self.address = self.address or ready.read_text().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()


def measure(build, cluster, module, shape, argument, numbers, directory):
    path = pathlib.Path(directory) / 'run.json'
    words = [word for point, number in numbers.items() for word in ('--branch-number', f'{point}={number}')]
    tool(build, 'peer-run', '--join', cluster.address, '--slots', 1, '--no-profile', '--fixed-numbers',
         '--quiet', '--json', path, *words, module, shape, argument)
    return json.loads(path.read_text())['wall_s']


def sweep(build, cluster, module, shape, argument, points, combinations, repeats, directory):
    """Median time of each."""
    times = {combination: [] for combination in combinations}
    for _ in range(repeats):
        for combination in combinations:
            times[combination].append(measure(build, cluster, module, shape, argument,
                                              dict(zip(points, combination)), directory))
    return {combination: statistics.median(found) for combination, found in times.items()}


def compare(options, build, cluster, module, shape, directory):
    argument = SHAPES[shape][options.small]
    path = pathlib.Path(directory) / 'tune.json'
    tool(build, 'peer-tune', '--join', cluster.address, '--slots', 1, '--profile', pathlib.Path(directory) / 'p.zpl',
         '--quiet', '--json', path, module, shape, argument)
    if not path.exists():
        print(f'{shape:8} offers nothing to others: nothing to tune')
        return None
    told = json.loads(path.read_text())
    path.unlink()
    again = tool(build, 'peer-tune', '--join', cluster.address, '--slots', 1, '--profile',
                 pathlib.Path(directory) / 'p.zpl', '--budget', 3, module, shape, argument)
    points = [point['name'] for point in told['points']]
    high = told['points'][0]['high']
    combinations = list(itertools.product(range(high + 1), repeat=len(points)))
    times = sweep(build, cluster, module, shape, argument, points, combinations, options.repeats, directory)
    chosen = tuple(min(told['numbers'][point], high) for point in points)
    best = min(times, key=times.get)
    final = sweep(build, cluster, module, shape, argument, points, sorted({chosen, best}), 2 * options.repeats,
                  directory)
    over, runs = final[chosen] / final[best], told['n_runs'] + 1
    good = over <= NEAR and runs <= RUNS_MAX * len(points) and 'starts from' in again.stderr
    print(f'{shape:8} chose {chosen}: {final[chosen]:.4f} s; best of {len(times)} {best}: {final[best]:.4f} s; '
          f'{100 * (over - 1):.1f} % above; {runs} runs, {told["verdict"]}; a second search starts from it: '
          f'{"yes" if "starts from" in again.stderr else "NO"}', flush=True)
    return {'shape': shape, 'argument': argument, 'points': points, 'chosen': chosen, 'best': best, 'over': over,
            'runs': runs, 'good': good, 'sweep': [[*key, value] for key, value in times.items()]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--build', default='build')
    parser.add_argument('--peers', type=int, default=3)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--small', action='store_true', help='short programs: shows that it works, no more')
    parser.add_argument('--json')
    parser.add_argument('shapes', nargs='*', metavar='SHAPE', default=list(SHAPES))
    options = parser.parse_args()
    for shape in options.shapes:
        if shape not in SHAPES:
            parser.error(f'{shape}: want {", ".join(SHAPES)}')
    build = pathlib.Path(options.build).resolve()
    module = build / 'bench/shapes.so'
    with tempfile.TemporaryDirectory() as directory, Cluster(build, directory, module, options.peers) as cluster:
        found = [compare(options, build, cluster, module, shape, directory) for shape in options.shapes]
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(found, indent=1))
    return any(result and not result['good'] for result in found)


sys.exit(main())
