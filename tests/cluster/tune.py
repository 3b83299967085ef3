"""peer-tune on real processes: what it finds it keeps, what it keeps is used, and what disturbs it spoils one run.
How well it chooses is not tested here (tests/tune), since times of a busy machine say little.

    tune.py BUILD_DIRECTORY      writes TAP

Waits for events only: lines printed, files, processes ended."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

import harness
from harness import TIMEOUT_S, Peerd, Tap, marked

BUILD = pathlib.Path(sys.argv[1]).resolve()
MODULE = BUILD / 'examples/bogosity.so'
SHORT = '--width 6 --depth 1 --sleep 5'
POINT = 'bogosity.children'


def run(tool, *arguments, **more):
    return harness.run(BUILD / 'tools' / tool, *arguments, **more)


def says(done, code, *words):
    output = done.stdout + done.stderr
    return done.returncode == code and all(word in output for word in words), f'{done.returncode}: {output[-2000:]}'


def wrong_inputs(scratch):
    for arguments, code, words in (
            ((), 2, ('MODULE.so TASK',)),
            (('--local', 2, MODULE), 2, ('MODULE.so TASK',)),
            ((MODULE, 'tree'), 2, ('--join or --local',)),
            (('--local', 2, '--join', '127.0.0.1:1', MODULE, 'tree'), 2, ('does not go with',)),
            (('--local', 2, '--objective', 'fame', MODULE, 'tree'), 2, ('makespan or cost',)),
            (('--local', 2, '--budget', '1', MODULE, 'tree'), 2, ('--budget', '10m')),
            (('--local', 2, '--budget', '5x', MODULE, 'tree'), 2, ('--budget', '10m')),
            (('--local', 2, '--extra', 'much', MODULE, 'tree'), 2, ('--extra',)),
            (('--local', 2, scratch / 'none.so', 'tree'), 2, ('none.so',)),
            (('--join', '127.0.0.1:1', MODULE, 'tree'), 5, ('no answer',)),
            (('--local', 1, '--profile', scratch, MODULE, 'nosuch'), 2, ('no such task',)),
            (('--local', 1, '--profile', scratch, MODULE, 'tree', '--width none'), 1, ('--width',)),
            (('--local', 1, '--profile', '/proc/none/p', '--budget', 2, MODULE, 'tree', SHORT), 2, ('/proc/none/p',))):
        done = run('peer-tune', *arguments)
        what = ' '.join(str(word) for word in arguments[:4]).replace(str(scratch), '.').replace(str(BUILD), '.')
        yield says(done, code, *words), f'peer-tune {what}: {code}, {words[-1]}'


def tuned(scratch, *more, budget=6):
    return run('peer-tune', '--local', 2, '--slots', 1, '--profile', scratch, '--budget', budget, *more, MODULE,
               'tree', SHORT)


def names_of(done):
    """Who ran it, as the program prints it."""
    return set(re.findall(r'\b(?:w[12]|mine)\b', done.stdout))


def used(profile, *more):
    return run('peer-run', '--local', 2, '--slots', 1, '--name', 'mine', '--profile', profile, *more, MODULE, 'tree',
               '--width 6 --depth 1 --sleep 30')


def profiles(scratch):
    directory = scratch / 'profiles'
    directory.mkdir()
    done = tuned(directory, '--json', scratch / 'out.json', '--plot', scratch / 'plots')
    yield says(done, 0, POINT, '95 % interval', 'profile: ', 'run 1 of at most 5'), 'peer-tune tunes two local peers'
    told = json.loads((scratch / 'out.json').read_text())
    yield (told['n_runs'] <= 5 and told['points'][0]['name'] == POINT and told['points'][0]['high'] == 2,
           str(told)), 'finds the branch point and keeps to its budget'
    yield ([run['numbers'][POINT] for run in told['runs']][0] == 2, str(told['runs'])), 'begins with the default'
    yield (told['numbers'][POINT] in (0, 1, 2), str(told)), 'chooses among what it tried'
    yield ((scratch / 'plots' / f'{POINT}.svg').exists(), ''), 'draws a chart'
    files = list(directory.iterdir())
    yield (len(files) == 1 and str(files[0]) == told['profile'], str(files)), 'leaves one profile'
    text = files[0].read_text()
    yield (f'name = "{POINT}"' in text and 'peers = 2' in text and 'link = host' in text, text), \
        'that tells point and cluster'
    done = tuned(directory)
    yield says(done, 0, 'starts from', str(files[0])), 'a second run starts from it'

    own = scratch / 'own.zpl'
    own.write_text(re.sub(r'(number = )\d+', r'\g<1>0', text))
    done = used(own)
    yield (done.returncode == 0 and names_of(done) == {'mine'}, done.stdout + done.stderr), \
        'peer-run takes the numbers of a profile: with 0 nothing leaves the peer'
    done = used(own, '--branch-number', f'{POINT}=2')
    yield (done.returncode == 0 and len(names_of(done)) > 1, done.stdout), 'the call comes before the profile'
    done = used(own, '--no-profile')
    yield (done.returncode == 0 and len(names_of(done)) > 1, done.stdout), 'and --no-profile is without'
    own.write_text(re.sub(r'digest = "....', 'digest = "0000', own.read_text()))
    done = used(own)
    yield says(done, 0, 'own.zpl: the code of module bogosity has changed'), 'other code: a warning'
    yield (names_of(done) == {'mine'}, done.stdout), 'but the numbers are used'
    own.write_text(own.read_text().replace('peers = 2', 'peers = 40'))
    done = used(own)
    yield says(done, 0, 'own.zpl: ignored: it is of another cluster', '40 peers'), 'another cluster: a notice'
    yield (len(names_of(done)) > 1, done.stdout), 'and the numbers are not used'
    broken = scratch / 'broken.zpl'
    broken.write_text(text.replace('    number', '    nubmer'))
    line = text.splitlines().index(next(line for line in text.splitlines() if line.startswith('    number'))) + 1
    for tool, done in (('peer-run', used(broken)), ('peer-tune', tuned(broken))):
        yield says(done, 2, f'broken.zpl: line {line}: nubmer: no such key'), f'{tool}: a corrupt profile is an error'


def read_until(process, word):
    """Lines of standard error up to the one with `word`."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if word in line:
            break
    return ''.join(lines)


def interrupted(scratch):
    job = harness.start(BUILD / 'tools/peer-tune', '--local', 2, '--slots', 1, '--profile', scratch / 'kept.zpl',
                        '--json', scratch / 'kept.json', MODULE, 'tree', '--width 6 --depth 1 --sleep 40',
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = read_until(job, 'run 3 of')
    job.send_signal(signal.SIGINT)
    rest = job.communicate(timeout=TIMEOUT_S)[1]
    yield (job.returncode == 130 and 'interrupted' in rest, said + rest), 'Ctrl-C ends the search: 130'
    told = json.loads((scratch / 'kept.json').read_text())
    yield (told['interrupted'] and told['n_runs'] >= 2, str(told)), 'what was found so far is told'
    better = told['verdict'] == 'better'
    yield ((scratch / 'kept.zpl').exists() == better, str(told)), 'and kept where it is better'


def grained(scratch):
    module, argument, name = BUILD / 'examples/pi.so', '--samples 300000', 'pi.points.grain'
    own, path = scratch / 'grain.zpl', scratch / 'grain.json'

    def tune(*more):
        done = run('peer-tune', '--local', 2, '--slots', 1, '--profile', own, '--budget', 8, '--json', path, *more,
                   module, 'estimate', argument)
        return done, {point['name']: point for point in json.loads(path.read_text())['points']} if path.exists() else {}

    done, points = tune()
    yield (done.returncode == 0 and name not in points, f'{done.stderr} {points}'), 'grain is left alone'
    done, points = tune('--grain')
    standard = -(-300000 // 64)
    point = points.get(name, {})
    yield (done.returncode == 0 and point.get('grain') and point['default'] == standard and
           point['high'] == 16 * standard, f'{done.stderr} {points}'), '--grain varies it'
    own.write_text(re.sub(rf'(name = "{name}"\n    number = )\d+', r'\g<1>100000', own.read_text()))
    done = run('peer-run', '--local', 2, '--profile', own, '--json', path, module, 'estimate', argument)
    told = {point['name']: point['number'] for point in json.loads(path.read_text())['points']}
    yield (done.returncode == 0 and told.get(name) == 100000, f'{done.stderr} {told}'), 'a profile sets it'
    done = run('peer-run', '--local', 2, '--no-profile', '--json', path, '--branch-number', f'{name}=7000', module,
               'estimate', argument)
    told = {point['name']: point['number'] for point in json.loads(path.read_text())['points']}
    yield (done.returncode == 0 and told.get(name) == 7000, f'{done.stderr} {told}'), 'and so does the call'


def adapting(scratch):
    """By events alone: how many results came while all was away, not how long that took."""
    path = scratch / 'run.json'
    with Peerd(BUILD, scratch, 'wide', slots=100, modules=('examples/bogosity.so',)) as wide:
        for more, rises in (((), True), (('--fixed-numbers',), False), (('--branch-number', f'{POINT}=20'), False)):
            done = run('peer-run', '--join', wide.address, '--slots', 1, '--no-profile', '--json', path, *more, MODULE,
                       'tree', '--width 500 --depth 1 --sleep 150')
            point = json.loads(path.read_text())['points'][0]
            yield (done.returncode == 0 and (point['most'] > point['number']) == rises and
                   point['last'] >= point['least'], f'{done.stderr} {point}'), \
                f'the number in force {"rises" if rises else "stays"} {" ".join(more)}'


def disturbed(scratch):
    with Peerd(BUILD, scratch, 'a', modules=('examples/bogosity.so',)) as first:
        with Peerd(BUILD, scratch, 'b', '--join', first.address, modules=('examples/bogosity.so',)), \
                Peerd(BUILD, scratch, 'c', '--join', first.address, modules=('examples/bogosity.so',)) as third:
            job = harness.start(BUILD / 'tools/peer-tune', '--join', first.address, '--slots', 1, '--profile',
                                scratch / 'd.zpl', '--json', scratch / 'd.json', MODULE, 'tree',
                                '--width 12 --depth 1 --sleep 150', stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            said = read_until(job, 'run 2 of')
            third.kill()
            rest = job.communicate(timeout=TIMEOUT_S)[1]
            yield (job.returncode == 0, said + rest), 'a peer is killed meanwhile: the search goes on'
            yield ('this run does not count: ' in rest, rest), 'and says which run it spoils'
            told = json.loads((scratch / 'd.json').read_text())
            yield (told['n_spoiled'] >= 1 and told['n_runs'] >= 2, str(told)), 'which is run again'


def coming_and_going(scratch):
    """One search, through a peer that joins, one that stands still until it is missed, and one that leaves."""
    with contextlib.ExitStack() as stack:
        def peer(name, *more):
            return stack.enter_context(Peerd(BUILD, scratch, name, *more, modules=('examples/bogosity.so',)))

        first = peer('e')
        second = peer('f', '--join', first.address)
        third = peer('g', '--join', first.address)
        job = harness.start(BUILD / 'tools/peer-tune', '--join', first.address, '--slots', 1, '--profile',
                            scratch / 'e.zpl', '--json', scratch / 'e.json', '--budget', 12, MODULE, 'tree',
                            '--width 16 --depth 1 --sleep 150', stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = read_until(job, 'run 1 of')
        peer('h', '--join', first.address)
        said += read_until(job, 'does not count: peer h joined')
        second.signal(signal.SIGSTOP)
        said += read_until(job, 'does not count')
        second.signal(signal.SIGCONT)
        third.signal(signal.SIGTERM)
        said += job.communicate(timeout=TIMEOUT_S)[1]
        told = json.loads((scratch / 'e.json').read_text())
        yield (job.returncode == 0, said), 'peers join, stand still and leave: the search goes on'
        yield ('count: peer h joined' in said and said.count('does not count: ') >= 2, said), \
            'and says what was in the way'
        yield (2 <= told['n_spoiled'] <= 6 and told['n_runs'] >= 4, str(told)), 'a run or two for each'


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory() as directory:
        scratch = pathlib.Path(directory)
        for part in (wrong_inputs(scratch), profiles(scratch), interrupted(scratch), grained(scratch),
                     adapting(scratch), disturbed(scratch), coming_and_going(scratch)):
            tap.run((good, what, detail) for (good, detail), what in part)
        left = [name for name in os.listdir(scratch) if name.startswith('peerexec-') or name.endswith('.new')]
    tap.check(not left and not marked(), 'no file is left behind', left)
    return tap.end()


sys.exit(main())
