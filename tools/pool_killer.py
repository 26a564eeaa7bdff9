#!/usr/bin/env python3
"""Workers of a pool that are killed at any moment: the others go on, what lies in the folder is whole, the killed one goes on from its last
state. Damaged files are put into the folder on the way, and nobody takes them.
   pool_killer.py INBETWEEN IB_SCENES OUT TIMES [SEED]"""
import glob, json, os, random, shutil, subprocess, sys, time

program, scenes, out, times = sys.argv[1:4] + [int(sys.argv[4])]
rng = random.Random(int(sys.argv[5]) if len(sys.argv) > 5 else 1)
WORKERS, pool = 3, os.path.join(out, "pool")
env = dict(os.environ, OMP_NUM_THREADS="1")
failures = []


def check(good, what):
    if not good:
        failures.append(what)
        print("FAILED:", what, flush=True)


def run(*words):
    return subprocess.run([program, *words], capture_output=True, text=True, env=env)


def start(i):
    run_dir, log = os.path.join(out, f"w{i}"), open(os.path.join(out, f"w{i}.log"), "a")
    begun = os.path.exists(os.path.join(run_dir, "state.h5"))
    if not begun:  # killed before its first state: there is nothing to lose
        shutil.rmtree(run_dir, ignore_errors=True)
        own = os.path.join(pool, f"w{i}.safetensors")
        if os.path.exists(own):
            os.remove(own)
    words = ["train", os.path.join(out, "latents"), "-o", run_dir, "--threads", "1", "--state-seconds", "0.2", "--pool", pool]
    words += ["--resume", "--pool-steps", "5"] if begun else ["--preset", "toaster", "--batch", "2", "--steps", "1000000",
                                                                "--valid-seconds", "1000000", "--pool-steps", "5", "--pool-name", f"w{i}"]
    return subprocess.Popen([program, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)


def step_of(i):
    path = os.path.join(out, f"w{i}", "state.h5")
    info = run("info", "--json", path) if os.path.exists(path) else None
    if info is None or info.returncode:
        check(info is None, f"{path} cannot be read: {info.stderr if info else ''}")
        return -1
    found = json.loads(info.stdout)
    found = found[0] if isinstance(found, list) else found
    return found.get("step", found.get("steps", 0))


def members():
    r = run("pool", pool, "--json")
    check(r.returncode == 0, f"the pool cannot be read: {r.stderr}")
    return json.loads(r.stdout)


def damage(k):
    """A published file, cut or with a flipped bit, beside the true one's name: what a broken disk or network leaves."""
    path = rng.choice(glob.glob(os.path.join(pool, "w?.safetensors")))
    data = bytearray(open(path, "rb").read())
    if rng.random() < 0.5:
        data = data[: rng.randrange(len(data))]
    else:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    bad = os.path.join(pool, f"bad{k}.safetensors")
    open(bad, "wb").write(data)
    return bad


shutil.rmtree(out, ignore_errors=True)
os.makedirs(pool)
subprocess.run([scenes, os.path.join(out, "v"), "--count", "4", "--frames", "20", "--size", "96x64"], check=True, capture_output=True)
check(run("encode", os.path.join(out, "v"), "-o", os.path.join(out, "latents"), "--size", "48x32").returncode == 0, "encode")
processes = [start(i) for i in range(WORKERS)]
while any(step_of(i) < 1 for i in range(WORKERS)):
    time.sleep(0.2)
refused = 0
for k in range(times):
    victim = rng.randrange(WORKERS)
    time.sleep(rng.random() * 1.5)
    before = step_of(victim)
    bad = damage(k)
    processes[victim].kill()
    processes[victim].wait()
    found = members()
    good = {m["worker"]: m for m in found["members"]}
    check(all(f"w{i}" in good for i in range(WORKERS)), f"{k}: a member's file is not whole: {found['not_members']}")
    check(any(os.path.basename(bad) in r for r in found["not_members"]), f"{k}: {bad} was not refused")
    refused += 1
    os.remove(bad)
    after = step_of(victim)
    check(after >= before, f"{k}: worker {victim} lost a state: step {before}, then {after}")
    for i in range(WORKERS):
        check(i == victim or processes[i].poll() is None, f"{k}: worker {i} ended when {victim} was killed")
    processes[victim] = start(victim)
steps = [step_of(i) for i in range(WORKERS)]
serials = {m["worker"]: m["publication"] for m in members()["members"]}
for _ in range(600):
    time.sleep(0.2)
    if all(step_of(i) > steps[i] + 5 for i in range(WORKERS)):
        break
check(all(step_of(i) > steps[i] for i in range(WORKERS)), "not all workers go on")
later = {m["worker"]: m["publication"] for m in members()["members"]}
check(all(later[w] > serials[w] for w in serials), f"not all workers publish: {serials}, {later}")
for p in processes:
    p.terminate()
    check(p.wait() == 130, "a worker did not end cleanly")
check(not glob.glob(os.path.join(out, "w?", ".*.tmp")), "half-written files are left in a run")
said = sum(open(os.path.join(out, f"w{i}.log")).read().count("averaged with") for i in range(WORKERS))
named = sum(open(os.path.join(out, f"w{i}.log")).read().count("left out") for i in range(WORKERS))
check(said > 0, "nobody averaged")
print(f"{times} kills of {WORKERS} workers, steps {[step_of(i) for i in range(WORKERS)]}, {said} averages; {refused} damaged files, all refused by "
      f"'inbetween pool', {named} times named by workers; {len(failures)} failures")
sys.exit(bool(failures))
