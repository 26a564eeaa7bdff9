#!/usr/bin/env bash
# tools/train_default.py: which videos may be trained on, and from those to a file that can be given away.
set -u
. tests/cli.bash
if ! command -v ffmpeg >/dev/null; then
    skip "ffmpeg is not here: near copies are made with it"
fi
s=$scratch v=$scratch/videos build=$(dirname "$INBETWEEN")
mkdir -p "$v/train" "$v/heldout" "$v/more"
check "scenes are made" "$IB_SCENES" "$s/made" --count 4 --frames 24 --size 96x64
scene() { cp "$s/made/scene-0$1.mp4" "$v/$2"; }
catalog=$v/catalog.tsv more=$v/more.tsv
printf 'group\tfile\trepo\tpath\tcommit\tlicence\tlicence_class\tframes\n' >"$catalog"
printf 'name\trepository\tpath\tcommit\tlicence\tframes\n' >"$more"
# catalog GROUP FILE CLASS LICENCE; more FILE LICENCE
catalog() { printf '%s\t%s\towner/repo\tvideos/%s\tc0ffee\t%s\t%s\t24\n' "$1" "$2" "$2" "$4" "$3" >>"$catalog"; }
more() { printf '%s\towner/repo\tvideos/%s\tc0ffee\t%s\t24\n' "$1" "$1" "$2" >>"$more"; }
scene 1 train/good.mp4
scene 2 heldout/held.mp4
scene 3 more/free.mp4
scene 4 more/zero.mp4
ffmpeg -v error -i "$v/heldout/held.mp4" -vf hflip,scale=160:120 -crf 28 "$v/more/copy.mp4" </dev/null
catalog train good.mp4 A "CC-BY-4.0 (repo LICENSE)"
catalog train b.mp4 B "MIT (repo LICENSE)"
catalog train c.mp4 C "Pexels"
catalog train nc.mp4 A "CC-BY-NC-4.0"
catalog train sa.mp4 A "CC-BY-SA-4.0"
catalog train gpl.mp4 A "GPL-3 (repo LICENSE)"
catalog heldout held.mp4 A "MIT"
catalog odd odd.mp4 A "MIT"
more free.mp4 "BSD (repo LICENSE.md)"
more zero.mp4 "CC0"
more copy.mp4 "Apache-2.0 (repo LICENSE)"
more pexels-someone-1.mp4 "MIT (repo LICENSE)"
more unknown.mp4 "none seen"
more mitten.mp4 "MITTEN licence"

check "the tables are read" eval 'tools/train_default.py "$v" --select --build "$build" >"$s/selection"'
taken() { grep -P '^(train|more)/[^ ]+\t' "$s/selection" | cut -f1 | tr '\n' ' '; }
check "taken: $(taken)" [ "$(taken)" = "train/good.mp4 more/free.mp4 more/zero.mp4 " ]
not() { check "not $1: $2" grep -q "^not $1: $2" "$s/selection"; }
not train/b.mp4 "class B"
not train/c.mp4 licence
not train/nc.mp4 licence
not train/sa.mp4 licence
not train/gpl.mp4 licence
not heldout/held.mp4 "held out"
not odd/odd.mp4 "in no folder"
not more/copy.mp4 "shows what is held out"
not more/pexels-someone-1.mp4 "stock footage"
not more/unknown.mp4 licence
not more/mitten.mp4 licence

make() { tools/train_default.py "$v" -o "$s/work" --steps 2 --scenes 0 --build "$build" --models "$s/models" >"$s/out" 2>&1; }
check "a model is made" make
check "of at most 6 MB" [ "$(stat -c %s "$s/models/default.safetensors")" -le 6000000 ]
run info "$s/models/default.safetensors" --check
expect 0
check "as halves" grep -q 'types: F16' "$s/out"
check "naming its sources" grep -q 'inbetween.sources.*good.mp4.*c0ffee.*CC-BY-4.0' "$s/out"
check "and how it was trained" grep -q 'train.steps: 2' "$s/out"
check "the table of sources has the three videos" [ "$(wc -l <"$s/models/default.sources.tsv")" = 4 ]
check "with their checksums" grep -q "$(sha256sum "$v/train/good.mp4" | cut -c1-64)" "$s/models/default.sources.tsv"
check "again, there is nothing to do" make
sed -i 's/^zero.mp4/other.mp4/' "$more"
mv "$v/more/zero.mp4" "$v/more/other.mp4"
check "other videos are another run" eval '! make && grep -q "other options or videos" "$s/out"'
report
