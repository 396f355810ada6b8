#!/bin/sh
# What each stage of a message's way costs, as a table: `instructions.sh BENCH [STAGE...]`, where BENCH is the compiled bench
# `instructions`. Each stage is done 100 and 300 times, and the difference is divided: what prepares a stage is left out.
set -eu
bench=$1
shift
[ $# -gt 0 ] || set -- $("$bench")

# The number before or behind a word in what valgrind says.
count() {
    tool=$1 pattern=$2
    valgrind --tool="$tool" --"$tool"-out-file=/dev/null "$bench" "$stage" "$times" 2>&1 >/dev/null |
        sed -n "s/$pattern/\1/p" | tr -d ,
}

echo "messages of $("$bench" size) octets, without signatures"
echo
echo "| stage | instructions | allocations | octets allocated |"
echo "|---|--:|--:|--:|"
for stage; do
    for times in 100 300; do
        instructions=$(count callgrind '.*Collected : \([0-9]*\).*')
        allocated=$(count dhat '.*Total: *\([0-9,]* bytes in [0-9,]* blocks\).*')
        eval "i$times=$instructions b$times=$(echo "$allocated" | cut -d' ' -f1) a$times=$(echo "$allocated" | cut -d' ' -f4)"
    done
    echo "| $stage | $(((i300 - i100) / 200)) | $(((a300 - a100) / 200)) | $(((b300 - b100) / 200)) |"
done
