#!/usr/bin/env bash
# Training helps on scenes that nothing was learned from: the trained model has more skill there than the same model untrained. A
# regression that turns training into noise passes every other test.
set -u
. tests/cli.bash
s=$scratch
[ -z "${IB_INSTRUMENTED:-}" ] || skip "an instrumented program takes too long to learn"

check "scenes are made" "$IB_SCENES" "$s/train" --count 14 --frames 40 --size 96x64 --seed 100
check "others, too" "$IB_SCENES" "$s/other" --count 6 --frames 40 --size 96x64 --seed 900
run encode "$s/train" -o "$s/l" --size 96x64 --quiet
expect 0
run encode "$s/other" -o "$s/o" --size 96x64 --quiet
expect 0
run train "$s/l" -o "$s/run" --preset toaster --steps 600 --valid-part 0 --seed 3 --quiet
expect 0
run eval "$s/o" -a "$s/run/adapter.safetensors" --gap 8 --trust 1 --json
expect 0
cp "$s/out" "$s/trained.json"
run eval "$s/o" -a "$s/run/adapter.safetensors" --gap 8 --trust 0 --json
expect 0
python3 - "$s/trained.json" "$s/out" >"$s/verdict" <<'END'
import json, sys
trained, untrained = (json.load(open(n))["gaps"][0]["mean"]["adapter"] for n in sys.argv[1:3])
print("skill %.4f, untrained %.4f; gain %.3f dB, untrained %.3f dB" % (trained["skill"], untrained["skill"], trained["gain_db"], untrained["gain_db"]))
sys.exit(trained["skill"] < untrained["skill"] + 0.002 or trained["gain_db"] < untrained["gain_db"] + 0.03)
END
verdict=$?
cat "$s/verdict"
check "trained is better than untrained" [ $verdict = 0 ]

report
