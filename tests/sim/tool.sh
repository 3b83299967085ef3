#!/bin/sh
# peer-sim as a person uses it: figures, JSON, a trace, and a clear word about each wrong option.
# Usage: tool.sh PEER-SIM         Writes TAP.
peer_sim=$1
n=0 failed=0

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
    said=$("$peer_sim" "$@" 2>&1 >/dev/null)
    status=$?
    [ "$status" -eq 2 ] && echo "$said" | grep -qF -- "$wanted"
    ok $? "refused: $* ($wanted)"
}

"$peer_sim" --peers 3 --faults none | grep -q 'efficiency'
ok $? "prints figures"
"$peer_sim" --peers 3 --json | grep -q '"verdict":"fine"'
ok $? "prints JSON"
"$peer_sim" --peers 3 --tree flat:n=20,leaf=10ms --trace - | grep -q 'surplus -> probe'
ok $? "prints a trace"
same='s/"events_per_s":[0-9]*,"wall_s":[0-9.]*,"cpu_s":[0-9.]*,"peak_bytes":[0-9]*//'
one=$("$peer_sim" --swarm --seed 5 --json --trace /dev/null | sed "$same")
two=$("$peer_sim" --swarm --seed 5 --json --trace /dev/null | sed "$same")
[ "$one" = "$two" ] && echo "$one" | grep -q '"trace_hash":"[0-9a-f]*[1-9a-f]'
ok $? "the same seed gives the same figures and the same trace"
"$peer_sim" --peers 40 --faults crash=3,pause=3,isolate --loss-ppm 20000 >/dev/null
ok $? "faults by name"
"$peer_sim" --seeds 1..3 --swarm | grep -q '^3 worlds, 0 failed'
ok $? "several seeds"
said=$("$peer_sim" --swarm --seed 7 --wrong result --shrink 2>&1 >/dev/null)
[ $? -eq 1 ] && echo "$said" | grep -q 'replay: peer-sim --swarm --seed 7 --keep none --wrong result'
ok $? "a world that fails is shrunk to what it needs"
"$peer_sim" --swarm --seed 7 --keep none --wrong result 2>&1 | grep -q '^seed 7: broken: .*: answer: '
ok $? "the command that it prints fails in the same way"
"$peer_sim" --swarm --seed 7 --keep 1,3,loss --verbose | grep -q '^    3 at '
ok $? "only some of the faults"
load='--peers 300 --load 50 --for-s 3'
said=$("$peer_sim" $load --unchecked --json)
for figure in events_per_s wall_s cpu_s peak_bytes bytes_per_peer; do
    echo "$said" | grep -q "\"$figure\":[0-9.]*[1-9]" || said=no
done
echo "$said" | grep -q '"jobs_ended":0,'
ok $? "jobs that arrive over a while, with the speed and the memory that they took"
said=$(script -qec "'$peer_sim' $load" /dev/null) && echo "$said" | grep -q ' events, .* of .* jobs over, .* passed'
ok $? "a line of progress on a terminal"
"$peer_sim" $load 2>&1 >/dev/null | grep -q .
[ $? -eq 1 ]
ok $? "and none elsewhere"
flat='--peers 17 --slots 1 --tree flat:n=64,leaf=10ms,law=constant --tune 1 --unchecked'
said=$("$peer_sim" $flat --number 1)
echo "$said" | grep -q '^chosen [1-9][0-9]* (best tried .*): better; gain [5-9][0-9]'
ok $? "--tune finds more workers where the default is one"
[ "$said" = "$("$peer_sim" $flat --number 1)" ]
ok $? "and the same ones again"
"$peer_sim" --peers 9 --slots 1 --tree split:work=400ms,leaf=2ms --tune 2 --json --unchecked |
    grep -q '"numbers":\[[0-9]*,[0-9]*\],'
ok $? "of two levels, as JSON"
"$peer_sim" --help | grep -q 'usage: peer-sim'
ok $? "help"
refuses 'not a number from 1' --peers 0
refuses 'not a number from 1' --slots many
refuses 'not a number from 0 to 1000000' --loss-ppm 1000001
refuses 'not a number from 1 to 1000' --load 0
refuses 'not a number from 16 to 1024' --view 15
refuses 'not A..B' --seeds 5..1
refuses 'not a fault' --faults crush
refuses 'not a number from 1 to 4' --tune 5
refuses 'not for it' --tune 1 --swarm
refuses 'not split, random or flat' --tree oak
refuses 'not a key of a tree' --tree flat:size=3
refuses 'not a duration' --tree flat:leaf=10
refuses 'not expected' more
refuses 'not a fault of this world' --swarm --seed 7 --keep 3,lss
refuses 'not for other worlds' --keep none
refuses 'not result or hang' --wrong everything
refuses 'usage' --colour
refuses 'No such file' --trace /nowhere/file
echo "1..$n"
exit $failed
