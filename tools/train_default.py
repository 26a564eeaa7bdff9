#!/usr/bin/env python3
"""The adapter that comes with the program, from nothing: models/default.safetensors and models/default.sources.tsv.

    tools/train_default.py VIDEOS -o WORK [--hours 1] [--scenes 150] [--build build] [--seed 1]
    tools/train_default.py VIDEOS --select        what of VIDEOS would be taken, and why the rest would not

VIDEOS is a directory with catalog.tsv and more.tsv (one row a video: file, repository, path, commit, licence) and the folders train/,
heldout/ and more/. Taken are rows whose licence is MIT, BSD, Apache-2.0, CC0 or CC-BY (no NC, ND or SA), of class A where the catalogue
gives a class (the footage itself is licensed), whose name does not say that the file comes from a stock site, and which show no recording
that is held out (by hashes of their frames). Nothing of heldout/ is ever trained on. Beside them, scenes of our own making (tools/scenes.c).

Everything lies in WORK and is taken up again when the command is repeated: after a kill, training goes on from its last state, at most a
minute earlier. Training runs in stages of half an hour, --hours in all. The seed settles scenes, samples and first weights; the number of steps
depends on the machine unless --steps is given. What ships took one hour on two cores.
"""
import argparse
import csv
import hashlib
import json
import os
import re
import signal
import subprocess

# What is trained, and how: the options of `inbetween encode` and `inbetween train`.
# Latents of two sizes: crops of the large ones show detail and small motion, the small ones whole pictures and large motion.
ENCODE = [("large", ["--size", "448x256"], True), ("small", ["--size", "192x112"], False)]   # with scenes, or not
TRAIN = ["--preset", "default", "--init", "none", "--gap", "2..16", "--crop", "192x112", "--valid-part", "0"]
TRUST = "0.7"      # chosen on videos that were neither trained on nor held out (docs/experiments.md)
SCENES = ["--varied", "--frames", "60", "--size", "480x272", "--crf", "12"]
STAGE_MINUTES = 30
MOST_BYTES = 6000000

PERMITTED = re.compile(r"(MIT|BSD|Apache-2\.0|CC0|CC-BY)(?![A-Za-z])")
RESTRICTED = re.compile(r"CC-BY-[0-9.-]*(NC|ND|SA)", re.I)
STOCK = re.compile(r"pexels|pixabay|shutterstock|videvo|coverr|mixkit|istock|storyblocks", re.I)
NEAR_BITS = 6      # of 64: frames of one recording
NEAR_PART = 0.05   # of a video's frames that may lie so near to held-out ones by chance
LIVELY = 3         # 8-bit steps: flatter frames look alike


def rows(folder):
    """All rows of the two tables in one form."""
    def table(name):
        with open(os.path.join(folder, name), encoding="utf-8", newline="") as f:
            yield from csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE)
    for r in table("catalog.tsv"):
        yield {"group": r["group"], "name": r["file"], "repository": r["repo"], "path": r["path"], "commit": r["commit"],
               "licence": r["licence"], "class": r["licence_class"], "frames": int(r["frames"])}
    for r in table("more.tsv"):
        yield {"group": "more", "name": r["name"], "repository": r["repository"], "path": r["path"], "commit": r["commit"],
               "licence": r["licence"], "class": "", "frames": int(r["frames"])}


def refusal(row):
    """Why a row is not taken; None if it is, as far as its words say."""
    if row["group"] == "heldout":
        return "held out"
    if row["group"] not in ("train", "more"):
        return "in no folder to train on"
    if not PERMITTED.match(row["licence"]) or RESTRICTED.match(row["licence"]):
        return "licence: " + row["licence"]
    if row["class"] not in ("", "A"):
        return "class " + row["class"] + ": " + row["licence"]
    if STOCK.search(row["name"] + row["path"] + row["licence"]):
        return "stock footage by its name, which the repository's licence does not cover"
    return None


def hashes(build, path):
    """(hash, mirrored) of a video's lively frames."""
    out = subprocess.run([os.path.join(build, "ib_frame_hash"), path], check=True, capture_output=True, text=True).stdout
    lines = [line.split() for line in out.splitlines()]
    return [(int(a, 16), int(b, 16)) for a, b, change in lines if float(change) >= LIVELY]


def near_part(mine, held):
    """Share of a video's frames that are near a held-out one, mirrored or not."""
    seen = mine[::4]
    near = sum(any(bin(h ^ a).count("1") <= NEAR_BITS or bin(h ^ b).count("1") <= NEAR_BITS for h in held) for a, b in seen)
    return near / len(seen) if seen else 0


def select(folder, build):
    """(taken, [(row, why not)])"""
    everything = list(rows(folder))
    taken, left = [], []
    for r in everything:
        why = refusal(r)
        (left.append((r, why)) if why else taken.append(r))
    held = []
    for r in everything:
        if r["group"] == "heldout":
            held += [h for h, _ in hashes(build, os.path.join(folder, "heldout", r["name"]))[::2]]
    kept = []
    for r in taken:
        part = near_part(hashes(build, os.path.join(folder, r["group"], r["name"])), held)
        if part > NEAR_PART:
            left.append((r, "shows what is held out: %.0f %% of its frames" % (100 * part)))
        else:
            kept.append(r)
    return kept, left


def sha256(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            h.update(block)
    return h.hexdigest()


def finished(mark, run):
    """Runs a step once; the mark says that it is done."""
    if not os.path.exists(mark):
        run()
        with open(mark, "w", encoding="utf-8") as f:
            f.write("done\n")


def train(inbetween, latents, run, options, hours, steps, seed):
    """Stage by stage: each is interrupted as Ctrl-C would, which keeps its state."""
    budget = ["--steps", str(steps)] if steps else ["--minutes", "%g" % (60 * hours)]
    stage = 0
    while True:
        stage += 1
        going = os.path.exists(os.path.join(run, "state.h5"))
        words = [inbetween, "train"] + latents + ["-o", run] + (["--resume"] if going else options + ["--seed", str(seed)]) + budget
        print("stage %d: %s" % (stage, " ".join(words)), flush=True)
        p = subprocess.Popen(words)
        try:
            status = p.wait(timeout=60 * STAGE_MINUTES)
        except subprocess.TimeoutExpired:
            p.send_signal(signal.SIGINT)
            status = p.wait()
        except KeyboardInterrupt:
            p.wait()
            raise SystemExit(130)
        if status == 0:
            return
        if status != 130:
            raise SystemExit("train_default.py: training ended with status %d" % status)


def write_sources(taken, folder, path, scenes, seed):
    keys = ("name", "repository", "path", "commit", "licence", "sha256")
    all_rows = [dict(r, sha256=sha256(os.path.join(folder, r["group"], r["name"]))) for r in taken]
    lines = ["\t".join(keys)] + ["\t".join(r[k] for k in keys) for r in all_rows]
    own = "%d synthetic scenes, seed %d" % (scenes, seed)
    if scenes:
        lines.append("\t".join([own, "inbetween", "tools/scene_varied.c", "", "MIT", ""]))
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")
    out = [{k: r[k] for k in keys} for r in all_rows]
    if scenes:
        out.append({"name": own, "path": "tools/scene_varied.c", "licence": "MIT"})
    return json.dumps(out, ensure_ascii=False, separators=(",", ":"))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("videos")
    p.add_argument("-o", "--work")
    p.add_argument("--select", action="store_true")
    p.add_argument("--hours", type=float, default=1)
    p.add_argument("--steps", type=int, default=0)
    p.add_argument("--scenes", type=int, default=150)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--build", default="build")
    p.add_argument("--models", default="models")
    a = p.parse_args()
    taken, left = select(a.videos, a.build)
    for r, why in left:
        print("not %s/%s: %s" % (r["group"], r["name"], why))
    for r in taken:
        print("%s/%s\t%s" % (r["group"], r["name"], r["licence"]))
    print("%d videos, %d frames" % (len(taken), sum(r["frames"] for r in taken)))
    if a.select:
        return
    if not a.work:
        p.error("-o WORK is missing: where scenes, latents and the run go")
    if not taken and not a.scenes:
        p.error("there is nothing to train on")
    work = a.work
    inbetween = os.path.join(a.build, "inbetween")
    scenes, run = (os.path.join(work, n) for n in ("scenes", "run"))
    os.makedirs(work, exist_ok=True)
    key = json.dumps([ENCODE, TRAIN, SCENES, a.scenes, a.seed, sorted(r["name"] for r in taken)])
    stamp = os.path.join(work, "options.json")
    if not os.path.exists(stamp):
        with open(stamp, "w", encoding="utf-8") as f:
            f.write(key)
    elif open(stamp, encoding="utf-8").read() != key:
        raise SystemExit("train_default.py: %s: was begun with other options or videos" % work)
    if a.scenes:
        finished(os.path.join(work, "scenes.done"), lambda: subprocess.run(
            [os.path.join(a.build, "ib_scenes"), scenes, "--count", str(a.scenes), "--seed", str(a.seed)] + SCENES, check=True))
    paths = [os.path.join(a.videos, r["group"], r["name"]) for r in taken]
    latents = [os.path.join(work, name) for name, _, _ in ENCODE]
    for folder, (_, options, with_scenes) in zip(latents, ENCODE):
        finished(folder + ".done", lambda: subprocess.run(
            [inbetween, "encode"] + paths + ([scenes] if a.scenes and with_scenes else []) + ["-o", folder] + options, check=True))
    train(inbetween, latents, run, TRAIN, a.hours, a.steps, a.seed)
    os.makedirs(a.models, exist_ok=True)
    target = os.path.join(a.models, "default.safetensors")
    sources = os.path.join(work, "sources.json")
    with open(sources, "w", encoding="utf-8") as f:
        f.write(write_sources(taken, a.videos, os.path.join(a.models, "default.sources.tsv"), a.scenes, a.seed))
    subprocess.run([os.path.join(a.build, "ib_publish_adapter"), os.path.join(run, "adapter.safetensors"), target, TRUST, sources,
                    "trained by tools/train_default.py; docs/default-model.md"], check=True)
    size = os.path.getsize(target)
    print("%s: %.2f MB" % (target, size / 1e6))
    if size > MOST_BYTES:
        raise SystemExit("train_default.py: %s: has %d bytes, at most %d may be given away" % (target, size, MOST_BYTES))


if __name__ == "__main__":
    main()
