#!/bin/sh
# peer-figures as a person uses it: each command small, its JSON and plot, and a clear word about each wrong
# option. Usage: figures.sh PEER-FIGURES         Writes TAP.
figures=$1
n=0 failed=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

ok () # STATUS NAME
{
    n=$((n + 1))
    [ "$1" -eq 0 ] && echo "ok $n - $2" && return
    echo "not ok $n - $2"
    failed=1
}

refuses () # TEXT ARGUMENT...
{
    wanted=$1
    shift
    said=$("$figures" "$@" 2>&1 >/dev/null)
    status=$?
    [ "$status" -eq 2 ] && echo "$said" | grep -qF -- "$wanted"
    ok $? "refused: $* ($wanted)"
}

small='--peers 40 --jobs 60 --tasks 10 --seeds 2 --loads 0.5,0.8'
"$figures" sparrow $small --json "$work/sparrow.json" >/dev/null && grep -q '"policy": "late2"' "$work/sparrow.json"
ok $? "sparrow, small: nothing to compare with, so nothing is outside"
"$figures" sparrow --peers 1000 --jobs 1000 --policies late,late2 --loads 0.9 --json - | grep -q '"inside": true'
ok $? "sparrow at a tenth of its size: where its own simulator is"
"$figures" delay $small --json "$work/delay.json" >/dev/null && grep -q '"difference"' "$work/delay.json"
ok $? "delay, small, with ours"
"$figures" messages $small --policies late2,ask,ours,ours-reservations --json - | grep -q '"messages_per_task"'
ok $? "messages, small, with ours less a feature"
"$figures" probes --peers 100 --jobs 20000 --loads 0.5,0.8 --slots 4 --json "$work/probes.json" >/dev/null &&
    grep -q '"inside": true' "$work/probes.json"
ok $? "probes: within the band of theory"
tree=$("$figures" tree --peers 1,8 --seeds 2 --json "$work/tree.json" --checked) &&
    echo "$tree" | grep -q '^split  *1  *1  *0 ' && grep -q '"efficiency"' "$work/tree.json"
ok $? "tree: one peer does its own work without a message"
"$figures" grain --peers 8 --points 10,50 --seeds 1 --rtt-us 2000 --json - | grep -q '"x": 25.0'
ok $? "grain: leaves are told in round trips"
one=$("$figures" delay $small --policies late2,steal,ours)
two=$("$figures" delay $small --policies late2,steal,ours)
[ -n "$one" ] && [ "$one" = "$two" ]
ok $? "the same seeds give the same figures"
"$figures" delay $small --policies late2,random --law pareto --against random >/dev/null
ok $? "another law, another one to compare with"
"$figures" delay $small --policies ours --seeds 1 --trace "$work/trace" >/dev/null &&
    grep -q 'surplus -> probe' "$work/trace"
ok $? "a trace of ours"
"$figures" delay $small --policies central,ours --against central --demand >/dev/null
[ $? -eq 1 ]
ok $? "--demand fails when ours is worse: nobody is as fast as the oracle"
if command -v gnuplot >/dev/null; then
    "$figures" delay $small --policies late2,batch --plot "$work/it's.svg" >/dev/null && grep -q '<svg' "$work/it's.svg"
    ok $? "a plot"
    "$figures" probes --peers 100 --jobs 20000 --loads 0.5,0.8 --slots 4 --plot "$work/p.svg" >/dev/null &&
        grep -q '<svg' "$work/p.svg"
    ok $? "a plot of probes"
    "$figures" tree --peers 2,4 --seeds 1 --plot "$work/t.svg" >/dev/null && grep -q 'messages per leaf' "$work/t.svg"
    ok $? "a plot with a second axis"
else
    echo "# no gnuplot: plots are not drawn"
fi
mkdir "$work/bin"
ln -s "$(command -v sh)" "$work/bin/sh"
said=$(PATH=$work/bin "$figures" delay $small --policies late2 --plot "$work/none.svg" 2>&1 >/dev/null)
[ $? -eq 1 ] && echo "$said" | grep -q 'gnuplot-nox'
ok $? "without gnuplot a plot says what to install"
"$figures" --help | grep -q 'late2'
ok $? "help names the policies"
refuses 'must be given'
refuses 'must be given' fly
refuses 'not a policy' delay --policies late2,late9
refuses 'not a load' delay --loads 1.5
refuses 'not a load' delay --loads 0.5,
refuses 'a number from 1 to' tree --peers 4,0
refuses 'only one' delay --peers 4,1
refuses 'not a law' delay --law heavy
refuses 'not among the policies' delay --policies late2,ours --against random
refuses 'not a whole number' delay --jobs none
refuses 'no such option' delay --colour
"$figures" delay $small --policies late2 --json /nowhere/file >/dev/null 2>"$work/said"
[ $? -eq 1 ] && grep -q '/nowhere/file: No such file' "$work/said"
ok $? "a file that cannot be written is told"
echo "1..$n"
exit $failed
