"""Rows on running: threads, limits, the environment, runs that go on, pools, pipes."""

import csv, html.parser, io, json, math, os, re, shutil, signal, time

import inputs
from bench import row
from rows_files import wait_for

TOASTER = ("--preset", "toaster", "--gap", "2..4")


@row(4, "OMP_THREAD_LIMIT of 1, 2, 3")
def thread_limit(b):
    a, other = b.two()
    adapter, space = b.shared.adapter(), "clip:" + b.shared.clip()
    video, latents = b.shared.videos() + "/scene-01.mp4", b.shared.latents()
    cases = {
        "render with an adapter": ("render", a, other, "-n", 3, "-a", adapter, "-o", b.path("o.mp4"), "--size", "480x320"),
        "encode clip:": ("encode", video, "--space", space, "-o", b.path("l")),
        "render prompts": ("render", "text:a", "text:b", "-s", space, "-n", 3, "-o", b.path("o.safetensors")),
        "eval": ("eval", latents, "-a", adapter, "--gap", 4),
        "train": ("train", latents, "-o", b.path("run"), *TOASTER, "--steps", 1),
        "merge": ("merge", adapter, adapter, "-o", b.path("m.safetensors")),
    }
    for limit, threads in (("1", ()), ("1", ("--threads", 4)), ("2", ("--threads", 8)), ("3", ("--threads", 8))):
        for name, words in cases.items():
            if limit != "1" and not name.startswith("render"):
                continue
            hung = len([f for f in b.faults if f.startswith("hangs")])
            if hung < 2:  # one hang is as good as ten
                b.good(*words, *threads, env={"OMP_THREAD_LIMIT": limit}, timeout=20)
            shutil.rmtree(b.path("run"), ignore_errors=True)
            shutil.rmtree(b.path("l"), ignore_errors=True)
    left = [n for n in b.tree() if n.endswith(".tmp")]
    b.want(not left, "left behind %s" % left)
    words = ("render", a, other, "-n", 100000, "-a", adapter, "-o", b.path("long.mp4"), "--size", "480x320")
    p = b.start(*words, env={"OMP_THREAD_LIMIT": "1"})
    time.sleep(1)
    p.send_signal(signal.SIGTERM)
    b.finish(p, words, timeout=10)
    return "works with fewer threads; TERM ends it"


@row(27, "ulimit -v of 100, 200, 300, 450, 600, 900 MB")
def memory_limit(b):
    a, other = b.two()
    adapter = b.shared.adapter()
    for mb in (60, 100, 150, 200, 250, 300, 350, 450, 600, 900):
        for words in (("--version",), ("render", a, other, "-n", 3, "-a", adapter, "-o", b.path("o.mp4"))):
            hung = len(b.faults)
            r = b.do(*words, shell="ulimit -v %d" % (mb * 1000), timeout=6)
            b.faults[hung:] = [f.replace("hangs (6 s)", "%d MB: hangs" % mb) for f in b.faults[hung:]]
            if r.status is None:
                break
            if r.status not in (0, None):
                b.want(r.err.strip(), "%d MB: status %s and nothing said" % (mb, r.status))
    left = [n for n in b.tree() if n.endswith(".tmp")]
    b.want(not left, "left behind %s" % left)
    return "works, or a sentence"


@row(28, "resume with other batch, preset, data, steps; HUP; two processes")
def resume(b):
    latents = b.shared.latents()
    shutil.copytree(b.shared.run(), b.path("run"))
    run = b.path("run")
    before = b.tree("run")
    for more, says in (
        (("--batch", 3), "batch"),
        (("--preset", "default"), "preset"),
        (("--optimiser", "sgd"), "optimiser"),
        (("--gap", "2..5"), "gap"),
    ):
        b.refused("train", latents, "-o", run, "--resume", "--steps", 4, *more, says=[says])
        b.kept(before, "run", "%s: " % more[0], more=[r"\.lock"])
    b.refused(
        "train", latents + "/scene-01.h5", latents + "/scene-02.h5", "-o", run, "--resume", "--steps", 4, says=["data|latent"]
    )
    r = b.do("train", latents, "-o", run, "--resume", "--steps", 1)
    b.want("complete" in r.out + r.err, "fewer steps: %s" % r.said)
    b.refused("train", latents, "-o", run, "--steps", 4, says=["resume"])
    b.good("train", latents, "-o", run, "--resume", "--steps", 4)
    words = ("train", latents, "-o", b.path("hup"), *TOASTER, "--minutes", 2)
    p = b.start(*words)
    wait_for(lambda: os.path.exists(b.path("hup/log.csv")))
    time.sleep(0.5)
    b.refused("train", latents, "-o", b.path("hup"), "--resume", says=["process|train|lock|already"])
    p.send_signal(signal.SIGHUP)
    r = b.finish(p, words)
    b.want(
        r.status == 130 and os.path.exists(b.path("hup/state.h5")),
        "HUP: %s, state %s" % (r.how(), os.path.exists(b.path("hup/state.h5"))),
    )
    p = b.start(*words[:3], b.path("hup"), "--resume", "--minutes", 2)
    time.sleep(0.7)
    p.send_signal(signal.SIGKILL)
    b.finish(p, words)
    b.good("info", b.path("hup/state.h5"), b.path("hup/adapter.safetensors"), "--check")
    return "refused by name, or right"


@row(33, "closed stdout, /dev/full, no HOME, env -i, odd OMP_NUM_THREADS, few files")
def environment(b):
    a, other = b.two()
    adapter, latents = b.shared.adapter(), b.shared.latents()
    render = ("render", a, other, "-n", 3, "-a", adapter, "-o", b.path("o.mp4"))
    for words in (
        ("info", adapter),
        ("eval", latents, "--gap", 4),
        ("info", "--json", adapter),
        ("--help",),
        ("render", "--help"),
        ("merge", adapter, adapter, "-n"),
    ):
        r = b.do(*words, shell="exec >/dev/full")
        b.want(r.status == 1 and "inbetween: " in r.err, "/dev/full: %s: %s, '%s'" % (r.words, r.how(), r.said))
        r = b.do(*words, shell="exec >&-")
        b.want(r.status in (0, 1), "closed stdout: %s: %s" % (r.words, r.how()))
    b.do("eval", latents, "--gap", 4, shell="exec > >(true)")
    for env in (
        {"HOME": None},
        {"HOME": "/nowhere"},
        {"TMPDIR": "/nowhere"},
        {"OMP_NUM_THREADS": "64"},
        {"OMP_NUM_THREADS": "many"},
        {"OMP_NUM_THREADS": "0"},
        {"LC_ALL": "de_DE.UTF-8"},
        {"LC_ALL": "C"},
        {"OPENBLAS_NUM_THREADS": "1"},
        {"OMP_DYNAMIC": "true"},
        {"OMP_PROC_BIND": "true"},
        {"OMP_STACKSIZE": "2M"},
    ):
        b.good(*render, env=env)
    b.good(*render, "--threads", 1)
    b.good(*render, shell='exec env -i "$@"')
    for n in (4, 8, 16):
        r = b.do(*render, shell="ulimit -n %d" % n)
        b.want(r.status == 0 or r.err.strip(), "ulimit -n %d: %s and nothing said" % (n, r.how()))
    return "works, or a sentence and status 1"


@row(59, "stdin, stdout or stderr closed: what is written is whole")
def closed(b):
    a, other = b.two()
    adapter, latents = b.shared.adapter(), b.shared.latents()
    right = {}
    for how in ("true", "exec 2>&-", "exec >&-", "exec <&- >&- 2>&-"):
        for name, words in (
            ("o.mp4", ("render", a, other, "-n", 9)),
            ("o-%d.png", ("render", a, other, "-n", 3, "--overwrite")),
            ("o.gif", ("render", a, other, "-n", 3)),
            ("m.safetensors", ("merge", adapter, adapter)),
            ("r.csv", ("eval", latents, "--gap", 4)),
            ("l", ("encode", b.shared.videos())),
        ):
            b.do(*words, "-o", b.path(name), shell=how)
            made = name.replace("%d", "3") if name != "l" else "l/scene-01.h5"
            data = b.bytes(made)
            right.setdefault(made, data)
            if data != right[made]:
                b.want(
                    False,
                    "%s: %s is %s"
                    % (
                        how,
                        made,
                        ("not there" if data is None else "spoilt" if b" frames" in data or b"100%" in data else "another file"),
                    ),
                )
            shutil.rmtree(b.path("l"), ignore_errors=True)
            if os.path.exists(b.path(made)):
                os.unlink(b.path(made))
    return "the same bytes"


@row(35, "pools with junk, copies, folders, links, odd names")
def pools(b):
    os.makedirs(b.path("pool/folder.safetensors"))
    inputs.write(b.path("pool/junk.safetensors"), b"junk" * 100)
    inputs.write(b.path("pool/empty.safetensors"), b"")
    shutil.copy(b.shared.adapter(), b.path("pool/plain.safetensors"))
    os.symlink("/dev/zero", b.path("pool/zero.safetensors"))
    os.symlink("nowhere", b.path("pool/dangling.safetensors"))
    os.mkfifo(b.path("pool/pipe.safetensors"))
    words = (
        "train",
        b.shared.latents(),
        "-o",
        b.path("run"),
        *TOASTER,
        "--steps",
        3,
        "--pool",
        b.path("pool"),
        "--pool-steps",
        1,
        "--pool-name",
        "one",
    )
    b.good(*words, timeout=30)
    if os.path.exists(b.path("pool/one.safetensors")):
        shutil.copy(b.path("pool/one.safetensors"), b.path("pool/copy.safetensors"))
    for more in ((), ("--json",)):
        r = b.do("pool", b.path("pool"), *more)
        b.want("one" in r.out and "junk" in r.out + r.err, "pool %s: %s" % (" ".join(more), r.said))
        if more:
            try:
                json.loads(r.out)
            except ValueError:
                b.want(False, "pool --json is no JSON")
    b.refused(
        "train",
        b.shared.latents(),
        "-o",
        b.path("r2"),
        *TOASTER,
        "--steps",
        1,
        "--pool",
        b.path("pool"),
        "--pool-name",
        "w\u00f6rk er",
        says=["name"]
    )
    return "named, left out"


@row(60, "a pool's worker called as a foreign file there")
def worker_over_file(b):
    os.mkdir(b.path("pool"))
    for name, data in (("mine", open(b.shared.adapter(), "rb").read()), ("junk", b"junk" * 100)):
        inputs.write(b.path("pool/%s.safetensors" % name), data)
        before = b.tree("pool")
        b.refused(
            "train",
            b.shared.latents(),
            "-o",
            b.path("run-" + name),
            *TOASTER,
            "--steps",
            1,
            "--pool",
            b.path("pool"),
            "--pool-steps",
            1,
            "--pool-name",
            name
        )
        b.kept(before, "pool", name + ": ")
        b.restore(before, "pool")
    return "refused, kept"


@row(57, "pool -o over a worker's file")
def pool_over_worker(b):
    os.mkdir(b.path("pool"))
    b.good(
        "train",
        b.shared.latents(),
        "-o",
        b.path("run"),
        *TOASTER,
        "--steps",
        2,
        "--pool",
        b.path("pool"),
        "--pool-steps",
        1,
        "--pool-name",
        "one",
        timeout=30
    )
    before = b.tree("pool")
    b.refused("pool", b.path("pool"), "-o", b.path("pool/one.safetensors"))
    b.kept(before, "pool")
    return "refused"


class Page(html.parser.HTMLParser):
    tags = 0

    def handle_starttag(self, tag, attrs):
        self.tags += 1
        self.evil = getattr(self, "evil", 0) + (tag == "evil")


@row(36, "eval of stills, black, short clips, pictures, odd names; html, csv, json")
def reports(b):
    os.mkdir(b.path("in"))
    still = b.picture("still.png", inputs.scene(1))
    b.ffmpeg("-loop", 1, "-i", still, "-frames:v", 12, "-pix_fmt", "yuv420p", b.path('in/still, "quoted" <evil>&amp;.mp4'))
    b.ffmpeg("-f", "lavfi", "-i", "color=black:s=64x48:r=24", "-frames:v", 12, "-pix_fmt", "yuv420p", b.path("in/black.mp4"))
    b.video("in/short.mp4", 2)
    b.video("in/good.mp4", 12)
    r = b.do(
        "eval",
        b.path("in"),
        still,
        "--gap",
        4,
        "-a",
        b.shared.adapter(),
        "-o",
        b.path("r.html"),
        "-o",
        b.path("r.csv"),
        "-o",
        b.path("r.json"),
        "--json",
        timeout=40,
    )
    b.want(r.status in (0, 1), "eval: %s: %s" % (r.how(), r.said))
    for name, text in (("stdout", r.out), ("r.json", (b.bytes("r.json") or b"").decode())):

        def no(value):
            raise ValueError(value)

        try:
            json.loads(text, parse_constant=no)
        except ValueError as e:
            b.want(False, "%s is no JSON: %s" % (name, str(e)[:60]))
    table = list(csv.reader(io.StringIO((b.bytes("r.csv") or b"").decode())))
    b.want(
        len({len(line) for line in table}) == 1 and len(table) > 2,
        "the CSV has rows of %s fields" % sorted({len(line) for line in table}),
    )
    b.want(not re.search(r"\b(nan|inf)\b", (b.bytes("r.csv") or b"").decode(), re.I), "the CSV has nan or inf")
    page = Page()
    page.feed((b.bytes("r.html") or b"").decode())
    b.want(
        page.tags > 20 and not getattr(page, "evil", 0),
        "the page has %d tags, <evil> %d times" % (page.tags, getattr(page, "evil", 0)),
    )
    return "finite, parsed, escaped"


@row(37, "training on still videos: train_skill")
def still_data(b):
    for i in range(2):
        p = b.picture("s%d.png" % i, inputs.scene(20 + i))
        b.ffmpeg("-loop", 1, "-i", p, "-frames:v", 12, "-pix_fmt", "yuv420p", "-c:v", "ffv1", b.path("s%d.mkv" % i))
    for i in range(2):
        b.ffmpeg("-f", "lavfi", "-i", "color=gray:s=64x48:r=24", "-frames:v", 12, "-c:v", "ffv1", b.path("g%d.mkv" % i))
    for kind in ("s", "g"):
        b.good("encode", b.path(kind + "0.mkv"), b.path(kind + "1.mkv"), "-o", b.path("l" + kind), "--size", "64x48")
        r = b.good("train", b.path("l" + kind), "-o", b.path("run" + kind), *TOASTER, "--steps", 4, "--json")
        for line in csv.DictReader(io.StringIO((b.bytes("run%s/log.csv" % kind) or b"").decode())):
            for name in ("train_skill", "valid_skill"):
                v = line[name]
                b.want(v == "" or (math.isfinite(float(v)) and abs(float(v)) < 100), "%s of still videos is %s" % (name, v))
        if r.status == 0:
            v = json.loads(r.out).get("valid_skill")
            b.want(v is None or abs(v) < 100, "valid_skill in the JSON is %s" % v)
    return "empty, or sane"


@row(62, "train: RUN is the folder of the latent files")
def run_in_latents(b):
    shutil.copytree(b.shared.latents(), b.path("l"))
    before = b.tree("l")
    r = b.do("train", b.path("l"), "-o", b.path("l"), *TOASTER, "--steps", 1)
    b.kept(before, "l", more=[r".*"])
    if r.status == 0:
        again = b.do("train", b.path("l"), "-o", b.path("run"), *TOASTER, "--steps", 1)
        b.want(again.status == 0, "the folder cannot be trained on any more: %s" % again.said)
    else:
        b.kept(before, "l")
    return "refused, or the folder can be used as before"


@row(39, "process substitution, stdin")
def pipes(b):
    a, other = b.two()
    for key in ("/dev/stdin",):
        r = b.good("render", key, other, "-n", 3, "-o", b.path("s-%d.png"), give=open(a, "rb").read())
        if r.status == 0:
            b.like("stdin", b.frames(b.path("s-1.png"))[0], inputs.scene(1).astype(float), 5)
    words = ("render", "/dev/fd/7", other, "-n", 3, "-o", b.path("p-%d.png"))
    r = b.good(*words, shell='exec 7< <(cat "%s")' % a)
    if r.status == 0:
        b.like("<(cat a.png)", b.frames(b.path("p-1.png"))[0], inputs.scene(1).astype(float), 5)
    b.good(
        "render",
        "/dev/fd/7",
        "/dev/fd/8",
        "-n",
        3,
        "-o",
        b.path("q-%d.png"),
        shell='exec 7< <(cat "%s") 8< <(cat "%s")' % (a, other),
    )
    b.good("encode", "/dev/fd/7", "-o", b.path("l"), "--size", "64x48", shell='exec 7< <(cat "%s")' % a)
    return "read once"


@row(61, "Ctrl-C while a named pipe has no writer")
def waiting_pipe(b):
    a, other = b.two()
    os.mkfifo(b.path("fifo.png"))
    for words in (
        ("render", b.path("fifo.png"), other, "-n", 3, "-o", b.path("o.mp4")),
        ("encode", b.path("fifo.png"), "-o", b.path("l2")),
        ("info", b.path("fifo.png")),
        ("eval", b.path("fifo.png"), "--gap", 4),
        ("render", a, other, "-a", b.path("fifo.png"), "-o", b.path("o.mp4")),
    ):
        p = b.start(*words)
        time.sleep(0.5)
        if p.poll() is None:
            p.send_signal(signal.SIGINT)
        b.finish(p, words, timeout=5)
    return "ends the wait"


@row(58, "/dev/zero, /dev/null, a folder where a file is wanted")
def devices(b):
    a, other = b.two()
    adapter, space = b.shared.adapter(), "clip:" + b.shared.clip()
    os.mkdir(b.path("folder"))
    for odd in ("/dev/zero", "/dev/null", b.path("folder")):
        for words in (
            ("info", odd),
            ("encode", odd, "-o", b.path("l")),
            ("render", odd, other, "-n", 3, "-o", b.path("o.mp4")),
            ("render", a, other, "-a", odd, "-o", b.path("o.mp4")),
            ("train", odd, "-o", b.path("run"), "--steps", 1),
            ("merge", odd, adapter, "-o", b.path("m.safetensors")),
            ("modality-gap", b.shared.clip_latents(), "-s", space, "-p", odd, "-o", b.path("g.safetensors")),
        ):
            b.refused(*words, timeout=8, shell="ulimit -v 4000000")
    return "refused"


@row(40, "--minutes 0.01: no step at all")
def no_time(b):
    r = b.good("train", b.shared.latents(), "-o", b.path("run"), "--preset", "large", "--minutes", 0.01, timeout=60)
    if r.status:
        return None
    _, metadata = inputs.read_safetensors(b.path("run/adapter.safetensors"))
    rows_ = list(csv.DictReader(io.StringIO((b.bytes("run/log.csv") or b"").decode())))
    steps = int(rows_[-1]["step"]) if rows_ else 0
    b.want(metadata.get("train.steps") == str(steps), "train.steps is %s after %d steps" % (metadata.get("train.steps"), steps))
    if steps == 0:
        b.want("warning" in r.err, "no warning after 0 steps")
    return "%d steps; train.steps=%s" % (steps, metadata.get("train.steps"))
