#!/usr/bin/env python3
"""A worker that has gone wrong: publishes what another one published, spoilt, under its own name and with a good seal.
   pool_forger.py POOL KIND [ROUNDS]   KIND: random, x100, negated, nan; one publication for every one of the first other worker's"""
import array, hashlib, json, os, random, struct, sys, time

MARK = "inbetween-sha256:"


def read(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + size]), data[8 + size:]


def spoil(weights, kind, rng):
    w = array.array("f", weights)
    if kind == "x100":
        w = array.array("f", (100 * x for x in w))
    elif kind == "negated":
        w = array.array("f", (-x for x in w))
    elif kind == "random":
        size = (sum(x * x for x in w) / len(w)) ** 0.5
        w = array.array("f", (rng.gauss(0, size) for _ in w))
    elif kind == "nan":
        w[len(w) // 2] = float("nan")
    return w.tobytes()


def publish(pool, name, header, weights):
    header["__metadata__"].update({"pool.worker": name, "pool.token": "0" * 32, "pool.seal": MARK + "0" * 64})
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    data = struct.pack("<Q", len(text)) + text + weights
    digest = hashlib.sha256(data).hexdigest()
    data = data.replace((MARK + "0" * 64).encode(), (MARK + digest).encode(), 1)
    temp = os.path.join(pool, f".{name}.tmp")
    open(temp, "wb").write(data)
    os.replace(temp, os.path.join(pool, name + ".safetensors"))


def main():
    pool, kind = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 1 << 30
    name, rng, last = "mallory", random.Random(1), None
    while rounds > 0:
        others = sorted(f for f in (os.listdir(pool) if os.path.isdir(pool) else []) if f.endswith(".safetensors") and not f.startswith((".", name)))
        header, weights = read(os.path.join(pool, others[0])) if others else ({}, b"")
        now = header.get("__metadata__", {}).get("pool.serial")
        if now is None or now == last or header["__metadata__"]["pool.fresh"] == "0":
            time.sleep(0.2)
            continue
        last = now
        publish(pool, name, header, spoil(weights, kind, rng))
        rounds -= 1


main()
