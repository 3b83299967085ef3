"""Counts real test cases in meson's testlog.json: each line of a TAP test, one for any other program.
A TAP program that failed without a failed line (it crashed, or said less than it planned) counts as
one failure more.

    count.py TESTLOG.json      writes "PASSED FAILED SKIPPED", then one line per failure"""

import json
import re
import sys

GOOD = {'OK', 'EXPECTEDFAIL'}


def count(test):
    """passed, names of failures, skipped"""
    passed, skipped, failures = 0, 0, []
    for line in test.get('stdout', '').splitlines():
        match = re.match(r'(not )?ok\b\s*\d*\s*-?\s*(.*)', line)
        if not match:
            continue
        if re.search(r'#\s*(skip|todo)', match[2], re.I):
            skipped += 1
        elif match[1]:
            failures.append('%s: %s' % (test['name'], match[2].split('#')[0].strip()))
        else:
            passed += 1
    if not passed and not skipped and not failures:
        passed, skipped = test['result'] in GOOD, test['result'] == 'SKIP'
    if test['result'] not in GOOD | {'SKIP'} and not failures:
        failures.append('%s: %s, exit status %s' % (test['name'], test['result'], test.get('returncode')))
    return passed, failures, skipped


def main():
    passed, skipped, failures = 0, 0, []
    with open(sys.argv[1], encoding='utf-8', errors='replace') as log:
        for line in log:
            counted = count(json.loads(line))
            passed += counted[0]
            failures += counted[1]
            skipped += counted[2]
    print(passed, len(failures), skipped)
    for failure in failures:
        print(failure)


main()
