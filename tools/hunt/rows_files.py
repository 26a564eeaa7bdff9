"""Rows on the user's files: what is there stays, what comes is whole."""

import os, re, shutil, signal, time

import numpy as np

import inputs
from bench import Skip, row

REFUSAL = r"input|exist|overwrite|one picture|same file|itself|already|taken"


def wait_for(ready, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not ready():
        time.sleep(0.02)
    return ready()


@row(1, "output is an input, or another picture that is there")
def output_is_picture(b):
    a, other = b.two()
    mine = b.picture("last.png", inputs.scene(3))
    before = b.tree()
    for out in (other, mine, a):
        b.refused("render", a, other, "-o", out, says=[r"\.png"])
        b.kept(before, what="render -o %s: " % os.path.basename(out))
        b.restore(before)
    b.refused("render", a, other, "-n", 2, "-o", other)
    b.kept(before, what="render -n 2 -o b.png: ")
    return "refused, all bytes kept"


def folder_of_pictures(b, name, n=25):
    os.mkdir(b.path(name))
    for i in range(n):
        b.picture("%s/%04d.png" % (name, i + 1), inputs.scene(i))
    return b.path(name)


@row(2, "pictures into a folder that has pictures, refused or stopped")
def sequence_into_folder(b):
    f = folder_of_pictures(b, "f")
    before = b.tree("f")
    first, last = f + "/0001.png", f + "/0025.png"
    resumable = r"\.[^/]*\.resume(/.*)?"
    for more in ([], ["--overwrite"]):
        for how in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
            words = ("render", first, last, "-n", "100000", "-o", f + "/", *more)
            beside = b.tree()
            p = b.start(*words)
            wait_for(lambda: p.poll() is not None or b.tree() != beside, 1.0)
            time.sleep(0.2)
            p.send_signal(how)
            b.finish(p, words)
            hidden = [r"(f/)?\..*"] if how == signal.SIGKILL else [resumable, "f/" + resumable]
            b.kept(beside, what="%s, %s: " % (how.name, more[0] if more else "folder with such names"), more=hidden)
            b.restore(before, "f")
    for out in (f + "/", f, f + "/%04d.png"):
        b.refused("render", first, last, "-n", 5, "-o", out, says=["--overwrite"] if out != f else [])
        b.kept(before, "f", "-o %s: " % out[len(b.dir) + 1 :])
        b.restore(before, "f")
    other = folder_of_pictures(b, "g", 3)
    r = b.do("render", first, last, "-n", 5, "-o", other + "/", "--overwrite")
    if b.want(r.status == 0, "--overwrite: %s" % r.said):
        b.want(len(b.tree("g")) == 5, "--overwrite leaves %d files of 5" % len(b.tree("g")))
    return "25 files before and after"


@row(3, "output is an input, in every command, also through links")
def output_is_input(b):
    v = b.video()
    os.symlink(v, b.path("soft.mp4"))
    os.link(v, b.path("hard.mp4"))
    a, other = b.two()
    shutil.copytree(b.shared.latents(), b.path("l"))
    shutil.copytree(b.shared.run(), b.path("run"))
    adapter, h5 = b.path("run/adapter.safetensors"), b.path("l/scene-01.h5")
    os.symlink(adapter, b.path("soft.safetensors"))
    os.link(adapter, b.path("hard.safetensors"))
    before = b.tree()

    def no(*words):
        b.refused(*words)
        b.kept(before, what="%s: " % " ".join(w.replace(b.dir + "/", "") for w in map(str, words)))
        b.restore(before)

    for out in (v, b.path("soft.mp4"), b.path("hard.mp4"), "../%s/v.mp4" % os.path.basename(b.dir)):
        no("render", v + "@0s", v + "@0.3s", "-n", 3, "-o", out)
    no("render", a, other, "-n", 3, "-a", adapter, "-o", adapter)
    for out in (v, adapter, b.path("hard.mp4"), b.path("soft.safetensors")):
        no("eval", v, "-a", adapter, "--gap", 4, "-o", out)
    no("eval", b.path("l"), "--gap", 4, "-o", h5)
    for out in (adapter, b.path("soft.safetensors"), b.path("hard.safetensors")):
        no("merge", adapter, b.shared.adapter(), "-o", out)
    no("merge", adapter, b.shared.adapter(), "--base", b.shared.adapter(), "--method", "ties", "-o", b.path("soft.safetensors"))
    no("train", b.path("l"), "-o", b.path("run"), "--init", adapter, "--preset", "toaster", "--steps", 2)
    os.mkdir(b.path("r2"))
    shutil.copy(adapter, b.path("r2/adapter.safetensors"))
    before = b.tree()
    no("train", b.path("l"), "-o", b.path("r2"), "--init", b.path("r2/adapter.safetensors"), "--steps", 2)
    clip, latents = b.shared.clip(), b.path("cl")
    shutil.copytree(b.shared.clip_latents(), latents)
    inputs.write(b.path("prompts.txt"), b"a red ball\na ball\n")
    inputs.write(b.path("gap.safetensors"), b"")
    before = b.tree()
    no("modality-gap", latents, "-s", "clip:" + clip, "-p", b.path("prompts.txt"), "-o", b.path("prompts.txt"))
    no("modality-gap", latents, "-s", "clip:" + clip, "-p", b.path("prompts.txt"), "-o", latents + "/scene-01.h5")
    no("render", "text:a", a, "-s", "clip:" + clip, "-n", 3, "-o", a)
    shutil.copytree(clip, b.path("clip"))
    before = b.tree()
    for weights in (b.path("clip"), b.path("clip/model.safetensors")):
        no("render", a, other, "-s", "clip:" + weights, "-n", 3, "-o", b.path("clip/model.safetensors"))
    no(
        "modality-gap",
        latents,
        "-s",
        "clip:" + b.path("clip"),
        "-p",
        b.path("prompts.txt"),
        "-o",
        b.path("clip/model.safetensors"),
    )
    return "refused, all bytes kept"


def on_full_disk(b, kilobytes, words, timeout=30):
    """The program with a full disk of its own as working directory: (result, names left there)."""
    os.makedirs(b.path("disk"), exist_ok=True)
    left = b.path("left")
    shell = (
        'exec unshare -rm bash -c \'mount -t tmpfs -o size=%dk tmpfs "$0" && cd "$0" && "$@"; s=$?; find . -type f | sort >"%s"; exit $s\' "%s" "$@"'
        % (kilobytes, left, b.path("disk"))
    )
    if os.path.exists(left):
        os.unlink(left)
    r = b.do(*words, shell=shell, timeout=timeout)
    if not os.path.exists(left):
        raise Skip("no small file system can be mounted here")
    with open(left) as f:
        return r, f.read().split()


@row(11, "full disk: train, encode, render, merge, eval")
def full_disk(b):
    videos, latents, adapter = b.shared.videos(), b.shared.latents(), b.shared.adapter()
    a, other = b.two()
    cases = [
        (64, ("encode", videos, "-o", ".", "--size", "64x48", "-j", 1), None),
        (8, ("render", a, other, "-n", 60, "--crf", 1, "-o", "clip.mp4"), None),
        (24, ("render", a, other, "-n", 60, "-o", "s-%03d.png"), None),
        (24, ("render", a, other, "-n", 60, "-o", "d/"), None),
        (2000, ("train", latents, "-o", "run", "--preset", "toaster", "--steps", "3"), None),
        (512, ("train", latents, "-o", "run", "--preset", "toaster", "--steps", "3"), None),
        (400, ("merge", adapter, adapter, "-o", "m.safetensors"), None),
        (100, ("eval", latents, "--gap", 4, "-o", "r.html", "-o", "r.json"), None),
        (8, ("eval", latents, "--gap", 4, "--strips", "strips"), None),
    ]
    for size, words, _ in cases:
        r, left = on_full_disk(b, size, words)
        short = " ".join(str(w) for w in words[:1]) + " -> " + str(words[-1] if words[0] != "encode" else ".")
        if b.want(r.status == 1, "%s: %s" % (short, r.how())):
            b.want("No space left on device" in r.err, "%s: %s" % (short, r.said))
        left = [n for n in left if not re.fullmatch(r"(.*/)?\.[^/]*\.resume/(key|lock|part-\d+\.png)", n)]  # to be gone on with
        half = [n for n in left if "tmp" in n or (re.search(r"state|adapter|\.mp4|\.html|m\.safetensors|s-\d+\.png|^\./d/", n))]
        b.want(not half, "%s leaves %s" % (short, " ".join(half[:3])))
    return "all say so, nothing half-written"


@row(34, "limit on file sizes (SIGXFSZ)")
def file_size_limit(b):
    a, other = b.two()
    latents, adapter = b.shared.latents(), b.shared.adapter()
    noise = b.path("noise.png")
    inputs.png(noise, np.random.default_rng(1).integers(0, 256, (480, 640, 3)).astype(np.uint8))
    for words in (
        ("train", latents, "-o", "run", "--preset", "toaster", "--steps", "2"),
        ("merge", adapter, adapter, "-o", "m.safetensors"),
        ("encode", b.shared.videos(), "-o", "l", "--size", "64x48"),
        ("render", noise, noise, "-n", 24, "--crf", 1, "-o", "o.mp4"),
        ("render", noise, noise, "-n", 3, "-o", "d/"),
        ("eval", latents, "--gap", 4, "-o", "r.html"),
    ):
        before = set(b.tree())
        r = b.do(*words, shell="ulimit -f 64")
        b.want(r.status == 1 and "inbetween: " in r.err, "%s: %s, %s" % (words[0], r.how(), r.said or "nothing said"))
        left = [n for n in b.tree() if n not in before and not re.search(r"run/(\.lock|log\.csv)$|\.resume(/|$)", n)]
        b.want(not left, "%s leaves %s" % (words[0], " ".join(left[:3])))
    return "a sentence, nothing left"


@row(13, "long names")
def long_names(b):
    v = b.video()
    for name in ("\u6f22" * 81 + "\u6f22.mp4", "x" * 251 + ".mp4"):
        name = name.encode()[-255:].decode("utf-8", "ignore")
        shutil.copy(v, b.path(name))
        r = b.do("encode", b.path(name), "-o", b.path("l"), "--size", "64x48")
        b.want(r.status == 0, "a name of %d bytes: %s" % (len(name.encode()), r.said[-80:]))
        b.good("render", b.path(name) + "@0", v, "-n", 3, "-o", b.path("o.mp4"))
    shutil.copy(v, b.path("y" * 255))
    b.refused("encode", b.path("y" * 255), "-o", b.path("l"), says=["too long"])
    b.refused("render", v, v, "-n", 3, "-o", b.path("z" * 255 + ".mp4"), says=["too long"])
    return "work up to 255 bytes, then 'File name too long'"


@row(15, "names with spaces, newlines, %, @, quotes, emoji, dashes, concat:")
def odd_names(b):
    v = b.video()
    names = [
        "a b.mp4",
        "new\nline.mp4",
        "tab\there.mp4",
        "100%d.mp4",
        "c:d.mp4",
        "at@1s.mp4",
        "q'uo\"te.mp4",
        "\U0001f600.mp4",
        "\u6f22\u5b57.mp4",
        "concat:x.mp4",
        "http:x.mp4",
        "-dash.mp4",
        "back\\slash.mp4",
        "$HOME.mp4",
        "[x]*?.mp4",
    ]
    os.mkdir(b.path("in"))
    for n in names:
        shutil.copy(v, b.path("in/" + n))
    b.good("encode", ".", "-o", b.path("l"), "--size", "64x48", cwd=b.path("in"))
    b.want(len(os.listdir(b.path("l"))) == len(names), "encode: %d of %d files" % (len(os.listdir(b.path("l"))), len(names)))
    for n in names:
        key = n if n[0] != "-" else "./" + n
        b.good("render", key + "@0.1", v, "-n", 3, "-o", b.path("o.mp4"), cwd=b.path("in"))
    r = b.do("render", "-dash.mp4", v, "-o", b.path("o.mp4"), cwd=b.path("in"))
    b.want(r.status == 2 and re.search(r"\./|--", r.err), "-dash.mp4: %s" % r.said)
    return "%d names work" % len(names)


@row(29, "latent file that another program holds open for writing")
def locked_hdf5(b):
    import subprocess, sys

    try:
        import h5py  # noqa: F401
    except ImportError:
        raise Skip("python3-h5py is not here")
    shutil.copytree(b.shared.latents(), b.path("l"))
    other = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); sys.stdin.read()",
            b.path("l/scene-01.h5"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        other.stdout.readline()
        b.refused("info", b.path("l/scene-01.h5"), says=["lock"])
        b.refused("train", b.path("l"), "-o", b.path("run"), "--preset", "toaster", "--steps", 2, says=["lock"])
        b.refused("eval", b.path("l/scene-01.h5"), "--gap", 4, says=["lock"])
    finally:
        other.stdin.close()
        other.wait(10)
        other.stdout.close()
    return "said to be locked"


@row(38, "two encoders in one folder, old and future times, sparse, empty, links")
def odd_files(b):
    import subprocess

    os.mkdir(b.path("in"))
    for i in range(4):
        b.video("in/v%d.mp4" % i)
    words = ("encode", b.path("in"), "-o", b.path("l"), "--size", "64x48")
    together = [b.start(*words) for _ in range(2)]
    for p in together:
        r = b.finish(p, words)
        b.want(r.status == 0, "two encoders: %s" % r.said)
    left = [n for n in os.listdir(b.path("l")) if not re.fullmatch(r"v\d\.h5", n)]
    b.want(len(os.listdir(b.path("l"))) == 4 and not left, "two encoders leave %s" % left[:3])
    b.good("info", "--check", b.path("l"))
    os.utime(b.path("in/v0.mp4"), (-3e8, -3e8))
    os.utime(b.path("in/v1.mp4"), (7.2e9, 7.2e9))
    b.good(*words)
    r = b.good(*words)
    b.want("0 encoded, 4 unchanged" in r.out, "a second time after odd times: %s" % r.out.strip()[-60:])
    subprocess.run(["truncate", "-s", "5G", b.path("sparse.mp4")], check=True)
    inputs.write(b.path("empty.mp4"), b"")
    os.symlink("nowhere.mp4", b.path("dangling.mp4"))
    os.symlink("loop.mp4", b.path("loop.mp4"))
    os.symlink(b.path("in/v0.mp4"), b.path("good.mp4"))
    for name in ("sparse.mp4", "empty.mp4", "dangling.mp4", "loop.mp4"):
        b.refused("encode", b.path(name), "-o", b.path("l2"), says=[re.escape(name)])
    b.good("encode", b.path("good.mp4"), "-o", b.path("l2"), "--size", "64x48")
    return "right or a sentence"


# ---- beyond the other tools' reports: the same kinds


@row(47, "encode: NAME.h5 of somebody else is there")
def foreign_h5(b):
    v = b.video()
    os.mkdir(b.path("l"))
    inputs.write(b.path("l/v.h5"), b"\x89HDF\r\n\x1a\n" + b"measured for years " * 50)
    inputs.write(b.path("l/v.mp4.h5"), b"these, too")
    before = b.tree("l")
    for more in ((), ("-f",)):
        r = b.do("encode", v, "-o", b.path("l"), "--size", "64x48", *more)
        b.want(r.status == 0 or "--overwrite" in r.err, "refused without naming --overwrite: %s" % r.said)
        b.kept(before, "l", " ".join(more) + ": ", more=[r"[^.].*\.h5"])
        b.restore(before, "l")
    b.good("encode", v, "-o", b.path("l"), "--size", "64x48", "--overwrite")
    return "kept"


def foreign_run(b, name, data):
    os.makedirs(os.path.dirname(b.path("run/" + name)))
    inputs.write(b.path("run/" + name), data)
    before = b.tree("run")
    b.refused(
        "train",
        b.shared.latents(),
        "-o",
        b.path("run"),
        "--preset",
        "toaster",
        "--steps",
        2,
        says=["--overwrite|exist|other|resume"],
    )
    b.kept(before, "run", more=[r"\.lock"])
    b.restore(before, "run")


@row(48, "train: RUN has an adapter of somebody else, and no state")
def foreign_adapter(b):
    with open(b.shared.adapter(), "rb") as f:
        foreign_run(b, "adapter.safetensors", f.read())
    b.good("train", b.shared.latents(), "-o", b.path("run"), "--preset", "toaster", "--steps", 2, "--overwrite")
    return "refused"


@row(54, "train: RUN has a log or samples of somebody else")
def foreign_log(b):
    foreign_run(b, "log.csv", b"mine")
    shutil.rmtree(b.path("run"))
    foreign_run(b, "samples/step-000002.png", b"mine")
    return "refused"


@row(49, "eval: --strips into a folder with best.png, median.png, worst.png")
def strips_over(b):
    latents = b.shared.latents()
    os.mkdir(b.path("s"))
    for name in ("best.png", "median.png", "worst.png"):
        inputs.write(b.path("s/" + name), b"mine")
    before = b.tree("s")
    b.refused("eval", latents, "--gap", 4, "--strips", b.path("s"), says=["--overwrite"])
    b.kept(before, "s")
    b.good("eval", latents, "--gap", 4, "--strips", b.path("s"), "--overwrite")
    return "refused without --overwrite"


@row(55, "a report or a merge over a file of another kind")
def over_other_kinds(b):
    latents, adapter = b.shared.latents(), b.shared.adapter()
    b.picture("mine.png", inputs.scene(1))
    b.video("mine.mp4")
    shutil.copy(latents + "/scene-01.h5", b.path("mine.h5"))
    shutil.copy(adapter, b.path("mine.safetensors"))
    shutil.copy(b.shared.run() + "/state.h5", b.path("state.h5"))
    before = b.tree()
    for name in ("mine.png", "mine.mp4", "mine.h5", "mine.safetensors"):
        b.refused("eval", latents, "--gap", 4, "-o", b.path(name))
        b.kept(before, what="eval -o %s: " % name)
        b.restore(before)
    for name in ("mine.png", "mine.mp4", "mine.h5", "state.h5"):
        b.refused("merge", adapter, adapter, "-o", b.path(name))
        b.kept(before, what="merge -o %s: " % name)
        b.restore(before)
    return "refused, kept"


@row(50, "output through a dangling link, onto a folder, a device, a pipe")
def odd_outputs(b):
    a, other = b.two()
    os.symlink(b.path("gone.mp4"), b.path("link.mp4"))
    r = b.do("render", a, other, "-n", 3, "-o", b.path("link.mp4"))
    b.want(r.status != 0 or os.path.exists(b.path("link.mp4")), "-o dangling link: status 0 and no clip")
    os.makedirs(b.path("folder.mp4/inside"))
    b.refused("render", a, other, "-n", 3, "-o", b.path("folder.mp4"))
    b.want(os.path.isdir(b.path("folder.mp4/inside")), "-o over a folder has removed it")
    os.mkfifo(b.path("pipe.mp4"))
    r = b.do("render", a, other, "-n", 3, "-o", b.path("pipe.mp4"), timeout=10)
    b.want(
        r.status != 0 or not os.path.isfile(b.path("pipe.mp4")), "-o a named pipe: replaced by a file, its reader waits for ever"
    )
    os.symlink("/dev/null", b.path("null.mp4"))
    b.do("render", a, other, "-n", 3, "-o", b.path("null.mp4"))
    adapter = b.shared.adapter()
    b.do("merge", adapter, adapter, "-o", b.path("pipe.mp4"), timeout=10)
    b.want(os.path.exists("/dev/null") and not os.path.isfile("/dev/null"), "/dev/null is a file now")
    left = [n for n in b.tree() if n.endswith(".tmp")]
    b.want(not left, "left behind %s" % left)
    return "refused or followed"


@row(51, "outputs in a folder that may not be written")
def read_only(b):
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        raise Skip("root may write everywhere, and setpriv is not here")
    a, other = b.two()
    latents, adapter = b.shared.latents(), b.shared.adapter()
    os.mkdir(b.path("ro"))
    inputs.write(b.path("ro/o.mp4"), b"mine")
    os.chmod(b.path("ro"), 0o555)
    shell = None
    if os.getuid() == 0:
        for p in (b.shared.dir, b.dir):
            os.chmod(p, 0o755)
        shell = 'exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"'
        if b.do("info", a, shell=shell).status != 0:
            raise Skip("the program cannot be reached as another user")
    before = b.tree("ro")
    for words in (
        ("render", a, other, "-n", 3, "-o", b.path("ro/o.mp4")),
        ("render", a, other, "-n", 3, "-o", b.path("ro/d/")),
        ("encode", b.shared.videos(), "-o", b.path("ro")),
        ("train", latents, "-o", b.path("ro/run"), "--steps", 1),
        ("eval", latents, "--gap", 4, "-o", b.path("ro/r.html")),
        ("merge", adapter, adapter, "-o", b.path("ro/m.safetensors")),
        ("eval", latents, "--gap", 4, "--strips", b.path("ro/s")),
    ):
        b.refused(*words, says=["Permission denied"], shell=shell)
        b.kept(before, "ro", words[0] + ": ")
    return "'Permission denied', nothing changed"


@row(52, "two processes write one output")
def two_writers(b):
    a, other = b.two()
    os.mkdir(b.path("o"))
    words = ("render", a, other, "-n", 40, "-o", b.path("o/o.mp4"))
    both = [b.start(*words) for _ in range(2)]
    results = [b.finish(p, words) for p in both]
    b.want(any(r.status == 0 for r in results), "neither writes: %s" % results[0].said)
    b.want(len(b.frames(b.path("o/o.mp4"))) == 40, "the clip is not whole")
    b.want(set(b.tree("o")) == {"o.mp4"}, "left behind %s" % sorted(b.tree("o")))
    words = ("render", a, other, "-n", 40, "-o", b.path("d/"))
    both = [b.start(*words) for _ in range(2)]
    results = [b.finish(p, words) for p in both]
    whole = len([n for n in b.tree("d") if re.fullmatch(r"\d+\.png", n)])
    b.want(
        any(r.status == 0 for r in results) and whole == 40 and len(b.tree("d")) == 40,
        "two into one folder: %s, %d pictures of 40, %d files"
        % (" and ".join(r.how() for r in results), whole, len(b.tree("d"))),
    )
    return "one whole clip, one whole sequence"


@row(64, "two containers, both with process number 1, write one output")
def same_pid(b):
    a, other = b.two()
    contained = 'exec unshare -rpf --mount-proc "$@"'
    if b.do("--version", shell=contained).status != 0:
        raise Skip("no containers can be made here")
    for i in range(4):
        words = ("render", a, other, "-n", 100, "-o", b.path("o.mp4"))
        both = [b.start(*words, shell=contained) for _ in range(2)]
        results = [b.finish(p, words) for p in both]
        n = len(b.frames(b.path("o.mp4"))) if os.path.exists(b.path("o.mp4")) and b.probe(b.path("o.mp4")) else 0
        ends = " and ".join(r.how() for r in results)
        b.want(n == 100, "%s, and the clip has %d frames of 100" % (ends, n))
        b.want(all(r.status == 0 for r in results), "%s: %s" % (ends, "; ".join(r.said for r in results if r.status)))
        words = ("encode", b.shared.videos(), "-o", b.path("l%d" % i), "--size", "64x48")
        both = [b.start(*words, shell=contained) for _ in range(2)]
        results = [b.finish(p, words) for p in both]
        b.want(all(r.status == 0 for r in results), "encode: " + "; ".join(r.said for r in results if r.status))
        b.good("info", "--check", b.path("l%d" % i))
    left = [n for n in b.tree() if n.endswith(".tmp")]
    b.want(not left, "left behind %s" % left)
    return "all whole"


@row(53, "clip over a clip: stopped, killed, and with a wrong option")
def clip_over_clip(b):
    a, other = b.two()
    b.video("mine.mp4")
    before = b.tree()
    for how in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
        words = ("render", a, other, "-n", "1000000", "-o", b.path("mine.mp4"))
        p = b.start(*words)
        time.sleep(0.6)
        p.send_signal(how)
        b.finish(p, words)
        hidden = [r"\..*"] if how == signal.SIGKILL else []
        b.kept(before, what="%s: " % how.name, more=hidden)
        for n in b.tree():
            if n not in before:
                os.unlink(b.path(n))
    for more in (("--codec", "nosuch"), ("--crf", "255", "--codec", "prores"), ("-a", b.path("nowhere")), ("--size", "16x1")):
        r = b.do("render", a, other, "-n", 3, "-o", b.path("mine.mp4"), *more)
        if r.status:
            b.kept(before, what=" ".join(more) + ": ")
    return "the old clip stays until the new one is whole"
