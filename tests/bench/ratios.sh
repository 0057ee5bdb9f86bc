#!/usr/bin/env bash
# Whole runs of a release build beside `grep` on the same generated dump, for README's Performance section:
#   bash tests/bench/ratios.sh [PROGRAM]
# Needs hyperfine, GNU time and python3. Ratios within one run are what counts: machines differ, and change while one looks.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$(realpath "${1:-target/release/kube-ipt}")
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cargo build --quiet --example generate-dump
generate="${CARGO_TARGET_DIR:-target}/debug/examples/generate-dump"

# The rest are commands; the first is what the others are compared with. They take turns, so that a machine that is slower for a
# while is so for all of them.
beside() {
  rm -f "$room"/times-*.json
  for round in $(seq 0 "${RUNS:-10}"); do
    hyperfine -N -w 0 -r 1 -i --output=pipe --export-json "$room/times-$round.json" "$@" >/dev/null 2>&1
  done
  # The first round is for what the machine keeps in memory.
  rm "$room/times-0.json"
  python3 - "$room"/times-*.json <<'PYTHON'
import json, statistics, sys
rounds = [json.load(open(path))["results"] for path in sys.argv[1:]]
medians = [statistics.median(one["times"][0] for one in turns) for turns in zip(*rounds)]
for one, median in zip(rounds[0], medians):
    name = " ".join(word.rsplit("/", 1)[-1] for word in one["command"].split())
    print(f"{median * 1000:8.1f} ms {median / medians[0]:6.2f} x  {name}")
PYTHON
}

echo "== 5,000 Services, 100,000 endpoints"
"$generate" 5000 20 >"$room/big.txt"
wc -lc "$room/big.txt"
beside "grep -c KUBE-SEP $room/big.txt" "$program show svc-01234 -f $room/big.txt" "$program show 10.96.4.211 -f $room/big.txt" \
  "$program list -f $room/big.txt" "$program list -o json -f $room/big.txt" "$program check -f $room/big.txt"
for command in "show svc-01234" "list" "list -o json" "check"; do
  # shellcheck disable=SC2086
  /usr/bin/time -f "%M KB" "$program" $command -f "$room/big.txt" 2>&1 >/dev/null | tail -n 1 | sed "s/\$/  $command/"
done

echo "== one, two, four and eight times 125,000 rules"
for times in 1 2 4 8; do "$generate" $((3906 * times)) 10 >"$room/$times.txt"; done
for command in "show svc-01234" list check; do
  # shellcheck disable=SC2086
  beside "$program $command -f $room/1.txt" "$program $command -f $room/2.txt" "$program $command -f $room/4.txt" "$program $command -f $room/8.txt"
done

echo "== starting up"
beside "iptables --version" "$program show --demo"
