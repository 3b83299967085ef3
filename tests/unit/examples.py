"""The serial twins of the examples give the published or once verified answers, and refuse what is wrong.

    examples.py TWIN_DIRECTORY README SOURCE_ROOT      writes TAP

The twins' answers are what every parallel run is compared with. Also: the programs in README.md are the
files that the build compiles."""

import hashlib
import pathlib
import re
import subprocess
import sys

T1 = 'nodes 4130071\nleaves 3305118\ndepth 10\n'
T2 = 'nodes 4117769\nleaves 2342762\ndepth 81\n'
T3 = 'nodes 4112897\nleaves 3599034\ndepth 1572\n'



def saxpy_answer(size, a):
    """x and y count up to 999 and 776 and begin again."""
    def total(period):
        return size // period * (period * (period - 1) // 2) + sum(range(size % period))
    largest = max(a * (i % 1000) + i % 777 for i in range(size))
    return f'size {size}\nsum {a * total(1000) + total(777)}.000000\nlargest {largest}.000000\n'


# program, arguments, answer: published figures (UTS: sample trees of the benchmark; OEIS A000170).
ANSWERS = [
    ('uts', '', T1),
    ('uts', '-t 1 -a 3 -d 10 -b 4 -r 19', T1),
    ('uts', '-t 1 -a 2 -d 16 -b 6 -r 502', T2),
    ('uts', '-t 0 -b 2000 -q 0.124875 -m 8 -r 42', T3),
    ('uts', '-t 3 -b 3 -d 4', 'nodes 121\nleaves 81\ndepth 4\n'),
    ('queens', '--size 1', 'board 1\nsolutions 1\npublished 1 (equal)\n'),
    ('queens', '--size 3', 'board 3\nsolutions 0\npublished 0 (equal)\n'),
    ('queens', '--size 8', 'board 8\nsolutions 92\npublished 92 (equal)\n'),
    ('queens', '--size=11', 'board 11\nsolutions 2680\npublished 2680 (equal)\n'),
    ('mandelbrot', '--width 2 --height 1 --x 0 --span 8', 'P5\n2 1\n255\n\x005'),
    ('saxpy', '--size 123456', saxpy_answer(123456, 2)),
    ('saxpy', '--size 1 -a -3', saxpy_answer(1, -3)),
    ('bogosity', '--width 1 --depth 1 --sleep 0',
     '2 tasks slept 0 ms each\nthis program\n  this program\n'
     'this program                   2 *****************************************\n'),
]

# program, arguments, exit code, words of stderr
REFUSALS = [
    ('uts', '--speed 3', 2, "unknown option '--speed'"),
    ('uts', 'T1', 2, "unknown argument 'T1'"),
    ('uts', '-t', 2, 'option -t needs a value'),
    ('uts', '-t 4', 2, 'option -t is 4, must be between 0 and 3'),
    ('uts', '-t 1x', 2, "option -t wants a number, not '1x'"),
    ('uts', '-r -1', 2, "option -r wants a number, not '-1'"),
    ('uts', '-b nan', 2, "option -b wants a number, not 'nan'"),
    ('uts', '-t 0 -q 0.5 -m 2', 2, 'must be under 1'),
    ('uts', '-t 1 -a 1 -d 1', 2, '-a 1 needs -d of at least 2'),
    ('queens', '--size 0', 2, 'option --size is 0'),
    ('mandelbrot', '--format gif', 2, 'option --format wants one of pgm|png'),
    ('mandelbrot', '--width=', 2, 'option --width needs a value'),
    ('pricing', '--fail 2001', 2, 'there are only 2000 instruments'),
    ('pricing', '--fail 17', 1, 'instrument 17: volatility'),
    ('bogosity', '--width 1000 --depth 3', 2, 'more than 1000000 tasks'),
    ('mandelbrot', '--how fast', 2, 'option --how wants one of rows|range'),
    ('pricing', '--how range --fail 17', 1, 'instrument 17: volatility'),
    ('saxpy', '--size 0', 2, 'option --size is 0, must be between 1 and'),
    ('saxpy', '-a much', 2, "option -a wants a number, not 'much'"),
    ('nbody', '--bodies 1', 2, 'option --bodies is 1, must be between 2 and'),
    ('nbody', '--time 0', 2, 'option --time is 0'),
    ('pi', '--samples ' + '1' * 5000, 2, 'the arguments are too long'),
    ('mandelbrot', '--width 4 --output /nonexistent/file', 1, 'cannot write /nonexistent/file'),
]


# SHA-256 of a picture of 64 x 48 points, whose shape was looked at.
PICTURE = 'cd2d877204f1b4ff2d4c34655b190ba7'


def twin(directory, name, arguments):
    return subprocess.run([directory / (name + '-seq')] + arguments.split(), capture_output=True,
                          timeout=60)


def answers(directory):
    for name, arguments, wanted in ANSWERS:
        done = twin(directory, name, arguments)
        got = done.stdout.decode('latin-1')
        right = done.returncode == 0 and got == wanted
        yield right, f'{name}-seq {arguments or "alone"} gives the known answer', repr(got)


def refusals(directory):
    for name, arguments, code, words in REFUSALS:
        done = twin(directory, name, arguments)
        said = done.stderr.decode()
        right = done.returncode == code and words in said and not done.stdout
        yield right, f'{name}-seq {arguments[:40]} is refused', f'{done.returncode} {said}'


def pictures(directory):
    """The two formats hold the same picture; it is what it was when it was looked at."""
    small = '--width 64 --height 48 --iterations 200'
    pgm = twin(directory, 'mandelbrot', small).stdout
    digest = hashlib.sha256(pgm).hexdigest()
    yield digest.startswith(PICTURE), 'mandelbrot-seq draws the known picture', digest
    png = twin(directory, 'mandelbrot', small + ' --format png').stdout
    yield png[:8] == b'\x89PNG\r\n\x1a\n' and b'IEND' in png, 'mandelbrot-seq writes PNG', repr(png[:8])


def estimates(directory):
    text = twin(directory, 'pi', '--samples 1000000 --seed 7').stdout.decode()
    value = float(text.split()[-1])
    yield abs(value - 3.14159265) < 0.01, 'pi-seq is near pi', text
    price = twin(directory, 'pricing', '--desks 2 --instruments 3').stdout.decode()
    lines = price.splitlines()
    sums = [float(line.split()[-1]) for line in lines]
    yield len(lines) == 3 and abs(sums[0] + sums[1] - sums[2]) < 1e-5, 'pricing-seq adds up', price
    # A uniform sphere of mass 1 and radius 1 has the energy -3/5; the bodies are a sample, and softened.
    text = twin(directory, 'nbody', '--bodies 600 --steps 20').stdout.decode()
    before, after = (float(line.split()[-1]) for line in text.splitlines()[2:4])
    yield abs(before + 0.6) < 0.05 and abs(after - before) < 1e-4, 'nbody-seq keeps its energy', text


def helps(directory):
    for name in ['uts', 'queens', 'mandelbrot', 'pi', 'pricing', 'bogosity', 'saxpy', 'nbody']:
        done = twin(directory, name, '--help')
        right = done.returncode == 0 and done.stdout.startswith(b'usage: ' + name.encode())
        yield right, f'{name}-seq --help explains itself', repr(done.stdout[:40])


def readme(text, root):
    """A line `<!-- FILE -->` before a C block says which file it shows."""
    blocks = re.findall(r'<!-- (\S+) -->\n```c\n(.*?)```', text, re.S)
    names = [name for name, _ in blocks]
    yield names == ['examples/readme_embed.c', 'examples/readme_self.c'], 'README.md shows two programs', names
    for name, block in blocks:
        yield block == (root / name).read_text(), f'README.md shows {name} as it is compiled', name


def main(directory, readme_path, root):
    checks = [answers(directory), refusals(directory), pictures(directory), estimates(directory),
              helps(directory), readme(readme_path.read_text(), root)]
    n = failed = 0
    for check in checks:
        for right, name, got in check:
            n += 1
            failed += not right
            print(f'{"ok" if right else "not ok"} {n} - {name.replace("#", "")}')
            if not right:
                print(f'# got {got}'.replace('\n', '\n# '))
    print(f'1..{n}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(*map(pathlib.Path, sys.argv[1:])))
