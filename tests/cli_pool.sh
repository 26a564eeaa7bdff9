#!/usr/bin/env bash
# inbetween train --pool and inbetween pool: joining, averaging, coming back, and everything that can be wrong with a shared folder.
set -u
. tests/cli.bash
s=$scratch
export OMP_NUM_THREADS=1
common="--preset toaster --threads 1 --batch 2 --valid-seconds 1000"

check "scenes are made" "$IB_SCENES" "$s/v" --count 4 --frames 20 --size 96x64
run encode "$s/v" -o "$s/l" --size 48x32
expect 0
mkdir "$s/p"

# member NAME KEY: of the JSON of `inbetween pool` printed last
member() { python3 -c 'import json, sys; print(next(m[sys.argv[3]] for m in json.load(open(sys.argv[1]))["members"] if m["worker"] == sys.argv[2]))' "$s/out" "$@"; }

# a pool of one is plain training, to the bit, whole or in two sessions
run train "$s/l" -o "$s/plain" $common --steps 12
expect 0
run train "$s/l" -o "$s/anna" $common --steps 12 --pool "$s/p" --pool-steps 3 --pool-name anna --json
expect 0 'worker anna, 0 others'
check "a pool of one is plain training" same_tensors "$s/plain/adapter.safetensors" "$s/anna/adapter.safetensors"
size=$(stat -c %s "$s/p/anna.safetensors")
parameters=$(value parameters)
check "a publication is the weights and a header" [ $((size - 4 * parameters)) -gt 0 -a $((size - 4 * parameters)) -lt 8192 ]
sent=$(value sent_bytes)
check "sent: one greeting and four publications" [ "$sent" -gt $((5 * 4 * parameters)) -a "$sent" -lt $((5 * (4 * parameters + 8192))) ]
mkdir "$s/q"
run train "$s/l" -o "$s/two" $common --steps 6 --pool "$s/q" --pool-steps 3
expect 0
run train "$s/l" -o "$s/two" --threads 1 --resume --steps 12 --pool "$s/q" --pool-steps 3
expect 0 'going on at step 6'
run train "$s/l" -o "$s/half" $common --steps 6
run train "$s/l" -o "$s/half" --threads 1 --resume --steps 12
check "also in two sessions" same_tensors "$s/half/adapter.safetensors" "$s/two/adapter.safetensors"

# who comes later begins at the average; what is there is used once
run train "$s/l" -o "$s/bert" $common --steps 6 --pool "$s/p" --pool-steps 3 --pool-name bert
expect 0 'beginning from the average of 1 at round 0'
run train "$s/l" -o "$s/anna" --threads 1 --resume --steps 18 --pool "$s/p" --pool-steps 3 --json
expect 0 'worker anna, 1 other' 'averaged with 1 other, round 1'
check "one average, and nothing new after it" [ "$(value exchanges)" = 1 ]
run train "$s/l" -o "$s/carl" $common --steps 6 --pool "$s/p" --pool-steps 3 --pool-name carl --exchange f16
expect 0 'from the average of 2'
check "half the bytes" [ "$(stat -c %s "$s/p/carl.safetensors")" -lt $((2 * parameters + 8192)) ]

run pool "$s/p"
expect 0
check "the table has all" [ "$(grep -c '^\(anna\|bert\|carl\) ' "$s/out")" = 3 ]
run pool "$s/p" --json -o "$s/average.safetensors"
expect 0
check "anna's round" [ "$(member anna round)" = 1 ]
check "anna's samples" [ "$(member anna samples)" = 36 ]
check "skill and distance are there" python3 -c 'import json, sys; assert all(m["distance"] < 1 and "skill" in m for m in json.load(open(sys.argv[1]))["members"])' "$s/out"
run info "$s/average.safetensors" --check
expect 0
run info "$s/p/anna.safetensors" --check
expect 0

# every kind of thing in the folder: named, left out, and training goes on
cp "$s/p/bert.safetensors" "$s/p/bert.sync-conflict.safetensors"
head -c 5000 "$s/p/bert.safetensors" >"$s/p/cut.safetensors"
cp "$s/average.safetensors" "$s/p/adapter.safetensors"
echo hello >"$s/p/notes.safetensors"
echo hello >"$s/p/notes.txt"
mkdir "$s/p/folder.safetensors"
python3 - "$s/p/bert.safetensors" "$s/p" <<'END'
import hashlib, sys
data, pool, mark = open(sys.argv[1], "rb").read(), sys.argv[2], b"inbetween-sha256:"
def forge(name, *pairs):
    d = data
    for old, new in ((b'"pool.worker":"bert"', b'"pool.worker":"%s"' % name),) + pairs:
        assert old in d and len(old) == len(new), old
        d = d.replace(old, new)
    at = d.index(mark) + len(mark)
    d = d[:at] + b"0" * 64 + d[at + 64:]
    d = d[:at] + hashlib.sha256(d).hexdigest().encode() + d[at + 64:]
    open(f"{pool}/{name.decode()}.safetensors", "wb").write(d)
forge(b"olds", (b'"pool.format":"2"', b'"pool.format":"1"'))
forge(b"news", (b'"pool.format":"2"', b'"pool.format":"7"'))
forge(b"alie", (b"patch:dct8+4:v1", b"patch:dct8+4:v9"))
flip = bytearray(data); flip[len(flip) // 2] ^= 4
open(pool + "/flip.safetensors", "wb").write(flip)
END
run train "$s/l" -o "$s/dora" $common --steps 3 --pool "$s/p" --pool-steps 3 --pool-name dora
expect 0 'a copy of what worker bert published' 'cut.safetensors: tensor .* lies outside' 'adapter.safetensors: not a pool member' \
    'notes.safetensors' 'olds.safetensors: of pool format 1' 'news.safetensors: of pool format 7' 'alie.safetensors' 'flip.safetensors: damaged'
check "each is named once" [ "$(grep -c flip.safetensors "$s/err")" = 1 ]
check "not a word about what cannot be a member" sh -c "! grep -q notes.txt '$s/err'"
run pool "$s/p" --json
expect 0
check "members are members" [ "$(python3 -c 'import json, sys; print(len(json.load(open(sys.argv[1]))["members"]))' "$s/out")" = 4 ]
run pool "$s/p"
expect 0 'left out: .*cut.safetensors'
find "$s/p" -name '*.safetensors' -not -name anna.safetensors -not -name bert.safetensors -delete

# a worker that publishes garbage is named by the others and by `pool`
if python3 -c 'import array' 2>/dev/null; then
    cp "$s/p/bert.safetensors" "$s/keep"
    for kind in x100 random nan; do
        timeout 60 python3 tools/pool_forger.py "$s/p" $kind 1
        run train "$s/l" -o "$s/honest-$kind" $common --steps 3 --pool "$s/p" --pool-steps 3 --pool-name "honest-$kind"
        expect 0 'left out:\? .*mallory'
    done
    rm -f "$s/p"/honest-* "$s/p/mallory.safetensors"
fi

# two runs of one name
run train "$s/l" -o "$s/other" $common --steps 3 --pool "$s/p" --pool-name bert
refused 1 'has a worker bert already, and it is another run'
untouched "$s/other"
run train "$s/l" -o "$s/bert" --resume --steps 9 --pool "$s/p" --pool-name berta
refused 1 'cannot be resumed with another name'

# a folder that is not there, a file in its place, one that cannot be written to
run train "$s/l" -o "$s/none" $common --steps 3 --pool "$s/nowhere"
refused 1 'nowhere' 'make the folder, or mount it'
untouched "$s/none"
absent "$s/nowhere"
run train "$s/l" -o "$s/none" $common --steps 3 --pool "$s/keep"
refused 1 'a file, expected a folder'
untouched "$s/none"
if [ "$(id -u)" != 0 ]; then
    mkdir "$s/locked"
    chmod a-w "$s/locked"
    run train "$s/l" -o "$s/none" $common --steps 3 --pool "$s/locked"
    refused 1 'locked'
    untouched "$s/none"
elif [ -d /proc/self ]; then
    run train "$s/l" -o "$s/none" $common --steps 3 --pool /proc/self
    refused 1 '/proc/self'
    untouched "$s/none"
fi
run pool "$s/nowhere"
refused 1 'nowhere'
run pool "$s/keep"
refused 1 'a file, expected'
mkdir "$s/empty"
run pool "$s/empty"
expect 0 'nobody is in the pool'
run pool "$s/empty" -o "$s/e.safetensors"
refused 1 'nothing in the pool'
absent "$s/e.safetensors"

# the pixel adapter of a pool's guides: a copy, nobody's publication; runs with other guides, or with none, are refused by name
mkdir "$s/guided"
pixels=$INBETWEEN_SHARE/default.safetensors
run pool "$s/guided" --guide "$pixels"
expect 0 'is the pixel adapter of this pool: encode with --guide' 'nobody is in the pool'
check "it is the same file" cmp "$pixels" "$s/guided/guide.safetensors"
run pool "$s/guided" --guide "$pixels"
expect 0
run train "$s/l" -o "$s/none" $common --steps 3 --pool "$s/guided"
refused 1 "guided/guide.safetensors: the pool's pixel model is guide.safetensors (sha256 .*), but the guides are of no pixel model"
untouched "$s/none"
run pool "$s/guided" --guide "$s/plain/adapter.safetensors"
refused 1 'has another pixel model already'
check "what was there stays" cmp "$pixels" "$s/guided/guide.safetensors"
echo hello >"$s/note"
run pool "$s/guided" --guide "$s/note"
refused 1 'note: not a safetensors file'
head -c 3000 "$pixels" >"$s/guided/guide.safetensors"
run train "$s/l" -o "$s/alone" $common --steps 3 --pool "$s/guided" --pool-steps 3
expect 0 'guided/guide.safetensors: '
run pool "$s/nowhere" --guide "$pixels"
refused 1 'nowhere'
absent "$s/nowhere"

# a run that comes back while the folder is away goes on, and averages when it is there again
mv "$s/p" "$s/away"
run train "$s/l" -o "$s/bert" --threads 1 --resume --steps 12 --pool "$s/p" --pool-steps 3
expect 0 'training goes on without the others'
check "that is said once" [ "$(grep -c 'training goes on without' "$s/err")" = 1 ]
absent "$s/p"
mv "$s/away" "$s/p"
run train "$s/l" -o "$s/bert" --threads 1 --resume --steps 15 --pool "$s/p" --pool-steps 3
expect 0 'averaged with 1 other'

# a full disk delays the averaging and nothing else
if mkdir "$s/full" && mount -t tmpfs -o size=100k none "$s/full" 2>/dev/null; then
    run train "$s/l" -o "$s/onfull" $common --steps 6 --pool "$s/full" --pool-steps 3 --pool-name emma
    expect 0 'No space left'
    check "nothing half-written stays" [ -z "$(ls -A "$s/full")" ]
    umount "$s/full"
else
    skip_part "no tmpfs can be mounted here for a full disk"
fi

# words
run train "$s/l" -o "$s/none" $common --steps 3 --pool-steps 3
refused 2 '--pool DIR is missing'
run train "$s/l" -o "$s/none" $common --steps 3 --pool "$s/p" --pool-steps 3 --pool-minutes 3
refused 2 'exclude each other'
run train "$s/l" -o "$s/none" $common --steps 3 --pool "$s/p" --pool-name ../x
refused 1 'cannot name a worker'
run train "$s/l" -o "$s/none" $common --steps 3 --pool "$s/p" --pool-name guide
refused 1 'cannot name a worker'
run train "$s/l" -o "$s/none" $common --steps 3 --pool "$s/p" --exchange f8
refused 2 'f32 or f16'
run train "$s/l" -o "$s/none" $common --steps 3 --pool "$s/p" --outer adam
refused 1 'no outer optimiser'
untouched "$s/none"

# killed at any moment: the others go on (docs/pools.md has the long run)
check "workers are killed and nothing is lost" python3 tools/pool_killer.py "$INBETWEEN" "$IB_SCENES" "$s/kill" 3
report
