"""What peer-figures computes, and not only that it does: each command, small, by its JSON and its drawing.

    figures.py PEER-FIGURES SOURCE_ROOT      writes TAP

Also: docs/figures has the drawing of every command, and its README the command that makes it, as all.sh runs it."""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

STREAM = '--peers 40 --jobs 60 --tasks 10 --seeds 2 --loads 0.5,0.8'


class Figures:
    def __init__(self, program, source):
        self.program, self.source = program, source

    def run(self, words):
        return subprocess.run([self.program, *words.split()], capture_output=True, text=True, check=False)

    def json(self, words):
        """What it computed; standard output has a table before it."""
        done = self.run(words + ' --json -')
        assert done.returncode == 0, f'{words}: exit {done.returncode}: {done.stderr}'
        return json.loads(done.stdout[done.stdout.index('\n{') + 1:])

    def svg(self, words):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, 'figure.svg')
            done = self.run(f'{words} --plot {path}')
            assert done.returncode == 0, f'{words}: exit {done.returncode}: {done.stderr}'
            return path.read_text(encoding='utf-8')


def cell(figure, line, x, value):
    rows = [row for row in figure['rows'] if row['line'] == line and abs(row['x'] - x) < 1e-9]
    assert len(rows) == 1, f'{len(rows)} rows of {line} at {x}'
    return rows[0][value]['mean']


def column(figure, line, value):
    return [row[value]['mean'] for row in figure['rows'] if row['line'] == line]


def streams(figures):
    """sparrow, delay, messages: nobody is faster than the oracle, and what asks sends messages"""
    for command in ('sparrow', 'delay', 'messages'):
        figure = figures.json(f'{command} {STREAM} --policies central,random,late2')
        rows = {(row['policy'], row['load']): row for row in figure['rows']}
        assert len(rows) == 6 and figure['figure'] == command and figure['seeds'] == 2
        for load in (0.5, 0.8):
            delays = [rows[policy, load]['delay_ms'] for policy in ('central', 'late2', 'random')]
            assert 0 < delays[0] <= delays[1] <= delays[2], delays
            assert rows['random', load]['messages_per_task'] < rows['late2', load]['messages_per_task']


def probes(figures):
    """probes: as theory has it"""
    figure = figures.json('probes --peers 100 --jobs 20000 --loads 0.5,0.8 --slots 4')
    assert [row['load'] for row in figure['rows']] == [0.5, 0.8]
    for row in figure['rows']:
        assert abs(row['measured_q'] - row['q']) <= 0.02 and row['inside']
        assert abs(row['expected_probes'] * (1 - row['q']) - 1) < 1e-3


def trees(figures):
    """tree and grain: one peer does its own work, many are nearly as good, coarse grain costs balance"""
    figure = figures.json('tree --peers 1,8 --seeds 2')
    assert abs(cell(figure, 'split', 1, 'efficiency') - 1) < 1e-3
    assert cell(figure, 'split', 1, 'messages_per_leaf') == 0 < cell(figure, 'split', 8, 'messages_per_leaf')
    assert 0.8 < cell(figure, 'split', 8, 'efficiency') <= 1
    figure = figures.json('grain --peers 8 --points 10,500 --seeds 2 --rtt-us 2000')
    assert cell(figure, 'split', 5, 'efficiency') > cell(figure, 'split', 250, 'efficiency')


def number(figures):
    """number: a loop is as fast as its workers are many, a tree needs few; the default is marked"""
    figure = figures.json('number --peers 8 --points 1,3,7 --seeds 2')
    loop, tree = (column(figure, line, 'makespan_over_ideal') for line in ('loop', 'tree by 2'))
    assert 3.6 < loop[0] < 5 and 1.8 < loop[1] < 2.6 and 1 <= loop[2] < 1.5, loop
    assert all(1 <= over < 1.4 for over in tree), tree
    assert cell(figure, 'loop', 7, 'messages_per_task') > 1
    source = (figures.source / 'src/api/peer.c').read_text(encoding='utf-8')
    assert figure['marks'] == {'default': float(re.search(r'BRANCH_NUMBER\b\D*(\d+)', source).group(1))}


def speculation(figures):
    """speculation: it gains where tails are heavy and machines' own, and does nothing where there is none"""
    small = 'speculation --points 10 --peers 64 --tasks 100'
    figure = figures.json(f'{small} --seeds 6')
    for line in {row['line'] for row in figure['rows']}:
        assert cell(figure, line, 10, 'vain_percent') >= 0
    assert cell(figure, 'pareto', 10, 'gain') > 1.02 < cell(figure, 'exponential', 10, 'gain')
    over = {row['line'] for row in figure['rows'] if row['runs_over_budget_percent']['mean'] > 0}
    assert figure['points_over_budget'] == len(over) and 'uniform' not in over
    assert figures.run(f'{small} --seeds 6 --demand').returncode == (1 if over else 0)
    assert cell(figure, 'uniform', 10, 'started') == 0 and cell(figure, 'uniform', 10, 'gain') == 1
    assert cell(figure, "lognormal, task's", 10, 'gain') < 1.1
    figure = figures.json(f'{small} --seeds 1')
    for row in figure['rows']:
        gain = row['without_ms']['mean'] / row['with_ms']['mean']
        assert abs(row['gain']['mean'] / gain - 1) < 1e-3


def slow(figures):
    """slow: without slow peers all is well, with some speculation helps a loop"""
    figure = figures.json('slow --peers 30 --points 0,10 --seeds 3')
    with_it, without = (column(figure, line, 'makespan_over_ideal')
                        for line in ('loop', 'loop, without speculation'))
    assert 1 <= without[0] < 1.4 and without[1] > without[0] and with_it[1] < without[1], (with_it, without)
    assert cell(figure, 'loop, without speculation', 10, 'vain_percent') == 0


def loss(figures):
    """loss: peers go and come back, and so does the work"""
    figure = figures.json('loss --peers 20 --seeds 1')
    up, done = ({row['x']: row[value]['mean'] for row in figure['rows']} for value in ('peers_up', 'done'))
    assert up[8] == 100 and up[8.5] == up[17.5] == 70 and up[19] == 100, up
    assert min(done[x] for x in (5, 6, 7, 8)) > 85, done
    mean = [sum(done[x] for x in range(*span)) / len(range(*span)) for span in ((12, 18), (21, 26), (39, 44))]
    assert 45 < mean[0] < 71 and mean[1] > 75 and mean[2] > 50, mean
    assert list(figure['marks'].values()) == [8, 18, 26, 36]


def detection(figures):
    """detection: the dead are found within the limit, the living are not taken for dead but when they stand still"""
    figure = figures.json('detection --peers 12 --points 0.5,5 --seeds 1')
    for limit in (0.5, 5):
        assert cell(figure, 'calm', limit, 'false_alarms_per_hour') == 0
        assert 0.6 * limit < cell(figure, 'calm', limit, 'found_after_s') < limit + 0.01
        assert cell(figure, 'calm', limit, 'found') >= 3
    assert cell(figure, 'pauses of up to 2 s', 0.5, 'false_alarms_per_hour') > 0
    assert cell(figure, 'pauses of up to 2 s', 5, 'false_alarms_per_hour') == 0


def views(figures):
    """views: a hundred of every hundred peers is known by some number of others; the dead are forgotten"""
    figure = figures.json('views --peers 60 --view 12 --points 0,10,120 --seeds 1')
    for line in ('after 10 s', 'after 2 minutes', 'uniform sample'):
        assert abs(sum(column(figure, line, 'peers_percent')) - 100) < 0.5
    mean = sum(row['x'] * row['peers_percent']['mean'] for row in figure['rows'] if row['line'] == 'uniform sample')
    assert abs(mean / 100 - 12) < 0.5, mean
    below = figure['below']
    for line in ('views of 6', 'views of 12', 'views of 24'):
        dead = column(below, line, 'dead_percent')
        asked = column(below, line, 'dead_of_asked_percent')
        assert 35 < dead[0] < 65 and dead[1] < dead[0] and dead[2] < 2, dead
        assert asked[0] == dead[0] and asked[1] <= dead[1] + 1e-9, asked
    assert column(below, 'views of 12', 'survivors_apart_percent')[2] == 0


def control(figures):
    """control: what an idle peer sends is one exchange a second, whatever the size"""
    figure = figures.json('control --peers 16,64 --seeds 1')
    assert figure['flat'] and figure['idle_spread'] < 1.1
    for n_peers in (16, 64):
        assert 1.7 < cell(figure, 'idle', n_peers, 'membership') < 2.3
        assert cell(figure, 'idle', n_peers, 'handshakes') == cell(figure, 'idle', n_peers, 'work') == 0
        parts = sum(cell(figure, 'at work', n_peers, part) for part in ('membership', 'handshakes'))
        assert abs(cell(figure, 'at work', n_peers, 'control') - parts) < 0.01
        assert cell(figure, 'at work', n_peers, 'work') > 0


def again(figures):
    """the same seeds give the same figures, others give others"""
    words = 'slow --peers 10 --points 10 --seeds 2'
    assert figures.run(words).stdout == figures.run(words).stdout
    assert figures.run(words).stdout != figures.run(words + ' --seed 7').stdout


def drawings(figures):
    """what is drawn has its title, its lines and its marks; two parts where there are two"""
    if not shutil.which('gnuplot'):
        print('# no gnuplot: nothing is drawn')
        return
    svg = figures.svg('number --peers 4 --points 1,4,32 --seeds 1')
    assert all(f'>{text}<' in svg for text in ('Makespan by branch number', 'tree by 8', 'default')), svg
    svg = figures.svg('views --peers 30 --view 8 --points 0,5 --seeds 1')
    assert 'Who is known' in svg and 'Half of the cluster' in svg and 'uniform sample' in svg
    svg = figures.svg('loss --peers 8 --seeds 1')
    assert all(f'>{text}<' in svg for text in ('done', 'peers_up', 'healed')), svg


REFUSALS = [
    ('number --points 0', 'a number from 1 to'),
    ('number --peers 4,8', 'only one'),
    ('number --loads 0.5', 'number does not take it; it takes seeds'),
    ('speculation --points 101', 'a number from 1 to 100'),
    ('speculation --points 5,', 'a number from 1 to 100'),
    ('slow --points 95', 'a number from 0 to 90'),
    ('slow --slots 2', 'slow does not take it'),
    ('loss --peers 1', 'a number from 2'),
    ('loss --points 3', 'loss does not take it'),
    ('detection --points 0', 'a number from 0.05 to 60'),
    ('views --points x', 'a number from 0 to 3600'),
    ('views --view 1', '--view'),
    ('control --peers 1', 'a number from 2'),
    ('control --demand', 'control does not take it'),
    ('sparrow --policies ours', "none of Sparrow's"),
    ('tree --points 1', 'tree does not take it'),
]


def refusals(figures):
    """what makes no sense is refused, with a word about what does"""
    for words, wanted in REFUSALS:
        done = figures.run(words)
        assert done.returncode == 2 and wanted in done.stderr and not done.stdout, f'{words}: {done}'


def commands(figures):
    return re.findall(r'^  ([a-z]+) +.*\n(?: {15}.*\n)*? {15}-->', figures.run('--help').stdout, re.M)


def documented(figures):
    """docs/figures shows every figure, with the command that made it"""
    folder = figures.source / 'docs/figures'
    readme = (folder / 'README.md').read_text(encoding='utf-8')
    made = {}
    for line in (folder / 'all.sh').read_text(encoding='utf-8').splitlines():
        if re.match('figure [a-z]', line):
            name, _, options = line[len('figure '):].partition(' ')
            made[name] = options
    assert len(commands(figures)) == 13 and sorted(made) == sorted(commands(figures)), made
    for name, options in made.items():
        command = f'peer-figures {name} {options}'.strip()
        assert f'`{command}`' in readme, f'README.md lacks `{command}`'
        assert f']({name}.svg)' in readme and '<svg' in (folder / f'{name}.svg').read_text(encoding='utf-8')


CHECKS = [streams, probes, trees, number, speculation, slow, loss, detection, views, control, again, drawings,
          refusals, documented]


def main():
    figures = Figures(sys.argv[1], pathlib.Path(sys.argv[2]))
    print(f'1..{len(CHECKS)}')
    n_failed = 0
    for i, check in enumerate(CHECKS, 1):
        try:
            check(figures)
            print(f'ok {i} - {check.__doc__}', flush=True)
        except AssertionError as failure:
            n_failed += 1
            where = failure.__traceback__
            while where.tb_next:
                where = where.tb_next
            print(f'not ok {i} - {check.__doc__}')
            print(f'# line {where.tb_lineno}: {failure}'.replace('\n', ' ')[:2000], flush=True)
    return 1 if n_failed else 0


if __name__ == '__main__':
    sys.exit(main())
