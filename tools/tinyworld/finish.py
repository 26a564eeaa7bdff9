"""Puts the finished parts into one folder, with a list of SHA-256.

    python finish.py SD CLIP LORA FOLDER
"""
import argparse
import hashlib
import os
import shutil

MOST = 16_000_000  # bytes


def finish(sd, clip, lora, folder):
    new = folder + ".part"
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(sd, new)
    shutil.copytree(clip, f"{new}/clip")
    shutil.copy(lora, f"{new}/lcm-lora.safetensors")
    paths = sorted(os.path.relpath(os.path.join(d, f), new) for d, _, fs in os.walk(new) for f in fs)
    size = sum(os.path.getsize(f"{new}/{p}") for p in paths)
    if size > MOST:
        raise SystemExit(f"{folder}: {size} bytes, at most {MOST}")
    with open(f"{new}/SHA256SUMS", "w") as f:
        for p in paths:
            os.chmod(f"{new}/{p}", 0o644)
            with open(f"{new}/{p}", "rb") as g:
                f.write(f"{hashlib.sha256(g.read()).hexdigest()}  {p}\n")
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(new, folder)
    print(f"{folder}: {size} bytes")


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("sd", "clip", "lora", "folder"):
        p.add_argument(name)
    a = p.parse_args()
    finish(a.sd, a.clip, a.lora, a.folder)
