"""What the rows stand on: the program under a time limit, what is wanted of it, and inputs that several rows share."""

import os, re, shutil, signal, subprocess, tempfile, threading

import numpy as np

import inputs

rows = []
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def hear_signals():
    """Ctrl-C and HUP as in a terminal: in the background, and under nohup, a process would be born deaf to them."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class Skip(Exception):
    """This row cannot be played here; the text says why."""


class Row:
    def __init__(self, number, situation, function):
        self.number, self.situation, self.function = number, situation, function


def row(number, situation):
    """Decorator: puts a function of a Bench into the table. It returns what was seen, or calls Bench.want."""

    def add(function):
        rows.append(Row(number, situation, function))
        return function

    return add


def printable(text):
    return "".join(c if c.isprintable() and c not in BIDI else "\\x%02x" % ord(c) for c in text)


class Result:
    """status (negative: killed by that signal; None: it hung and was killed), and the bytes on both outputs."""

    def __init__(self, words, status, out, err):
        self.words, self.status, self.out_bytes, self.err_bytes = words, status, out, err
        self.out, self.err = out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
        lines = [line for line in self.err.splitlines() if line.startswith("inbetween: ")]
        self.said = lines[-1] if lines else (self.err.strip().splitlines() or [""])[-1]

    def how(self):
        return "hangs" if self.status is None else "status %d" % self.status


class Shared:
    """The program, and inputs made once: scenes, pictures, latents, a small adapter, a tiny CLIP folder."""

    def __init__(self, program, scratch):
        self.program, self.dir, self.made, self.lock = program, scratch, {}, threading.RLock()
        self.build = os.path.dirname(program)

    def get(self, name, make):
        with self.lock:
            if name not in self.made:
                path = os.path.join(self.dir, "shared-" + name)
                make(path)
                self.made[name] = path
            return self.made[name]

    def must(self, *words):
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        if done.returncode:
            raise RuntimeError("%s: %s" % (" ".join(words[:3]), done.stderr.decode("utf-8", "replace")[-200:]))

    def share(self):
        """The folder of the default adapter: a small one, whatever comes with the program."""

        def make(path):
            os.mkdir(path)
            golden = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "golden")
            newest = sorted(n for n in os.listdir(golden) if n.startswith("adapter-"))[-1]
            shutil.copy(os.path.join(golden, newest), os.path.join(path, "default.safetensors"))

        return self.get("share", make)

    def tool(self, name):
        path = os.path.join(self.build, name)
        if not os.access(path, os.X_OK):
            raise Skip("%s is not beside the program" % name)
        return path

    def videos(self):
        return self.get(
            "videos", lambda p: self.must(self.tool("ib_scenes"), p, "--count", "3", "--frames", "12", "--size", "64x48")
        )

    def latents(self):
        return self.get("latents", lambda p: self.must(self.program, "encode", self.videos(), "-o", p, "--size", "64x48"))

    def run(self):
        return self.get(
            "run",
            lambda p: self.must(
                self.program, "train", self.latents(), "-o", p, "--preset", "toaster", "--steps", "2", "--gap", "2..4"
            ),
        )

    def adapter(self):
        return os.path.join(self.run(), "adapter.safetensors")

    def clip(self):
        def make(path):
            os.mkdir(path)
            self.must(self.tool("ib_clip_weights"), path + "/model.safetensors", "tiny", "hf", "f16", "both")
            inputs.tokenizer(path)

        return self.get("clip", make)

    def clip_latents(self):
        return self.get(
            "clip-latents", lambda p: self.must(self.program, "encode", self.videos(), "-o", p, "--space", "clip:" + self.clip())
        )


class Bench:
    """One row's place: a scratch directory, and the faults found so far."""

    def __init__(self, shared, row_):
        self.shared, self.program, self.faults = shared, shared.program, []
        self.dir = tempfile.mkdtemp(prefix="row%02d." % row_.number, dir=shared.dir)
        self.lock = threading.Lock()

    def path(self, name):
        """A name in the row's directory; bytes for a name that is not UTF-8."""
        return os.path.join(os.fsencode(self.dir), name) if isinstance(name, bytes) else os.path.join(self.dir, name)

    def short(self, text):
        return text.replace(self.dir + "/", "").replace(self.shared.dir + "/", "").replace(self.dir, ".")

    def want(self, condition, otherwise):
        otherwise = self.short(otherwise)
        if not condition and otherwise not in self.faults:
            self.faults.append(otherwise)
        return bool(condition)

    def start(self, *words, shell=None, env=None, cwd=None, stdin=subprocess.DEVNULL):
        """The program in a session of its own; shell: a line of bash before `exec "$@"`."""
        command = [self.program] + [w if isinstance(w, bytes) else str(w) for w in words]
        if shell is not None:
            command = ["bash", "-c", shell + '\nexec "$@"', "-"] + command
        environment = dict(os.environ, INBETWEEN_SHARE=self.shared.share())
        for name, value in (env or {}).items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=cwd or self.dir,
            start_new_session=True,
            preexec_fn=hear_signals,
        )

    def finish(self, process, words, timeout=20, give=None):
        try:
            out, err = process.communicate(give, timeout)
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            status = None
        text = self.short(" ".join(os.fsdecode(w) if isinstance(w, bytes) else str(w) for w in words))
        result = Result(text if len(text) < 90 else text[:86] + " ...", status, out, err)
        self.want(status is not None, "hangs (%s s): %s" % (timeout, result.words))
        self.want(status not in (-4, -6, -7, -8, -11), "crashed by signal %d: %s" % (-(status or 0), result.words))
        return result

    def do(self, *words, timeout=20, give=None, **how):
        """Runs the program and waits; a hang or a crash is a fault by itself."""
        if give is not None:
            how["stdin"] = subprocess.PIPE
        return self.finish(self.start(*words, **how), words, timeout, give)

    def good(self, *words, **how):
        r = self.do(*words, **how)
        if r.status is not None:
            self.want(r.status == 0, "status %s: %s: %s" % (r.status, r.words, r.said))
        return r

    def refused(self, *words, says=(), status=(1, 2), **how):
        """Wanted: not status 0, one sentence on stderr, with all of `says` in it (regular expressions, any case)."""
        r = self.do(*words, **how)
        if r.status is not None:
            self.sentence(r, says, status)
        return r

    def sentence(self, r, says=(), status=(1, 2)):
        if self.want(r.status in status, "%s, wanted a refusal: %s" % (r.how(), r.words)):
            self.want(re.search(r"^inbetween( [a-z-]+)?: ", r.err, re.M), "no sentence on stderr: %s" % r.words)
            for word in says:
                self.want(re.search(word, r.err, re.I | re.S), "the sentence does not say '%s': %s" % (word, r.said))

    def clean(self, r):
        """No byte that does something to a terminal, on either output, and no mark that turns text around."""
        for text, json_text in ((r.out, "--json" in r.words), (r.err, False)):  # JSON escapes by its own rules
            bad = sorted(
                {c for c in text if (ord(c) < 32 and c != "\n") or not json_text and (0x7F <= ord(c) < 0xA0 or c in BIDI)}
            )
            self.want(not bad, "raw %s printed: %s" % (" ".join("%02X" % ord(c) for c in bad), r.words))

    def bytes(self, name):
        try:
            with open(self.path(name), "rb") as f:
                return f.read()
        except OSError:
            return None

    def tree(self, name="."):
        """{path: bytes} of all files below, hidden ones too."""
        top, found = self.path(name), {}
        for folder, _, names in os.walk(top):
            for n in names:
                p = os.path.join(folder, n)
                found[os.path.relpath(p, top)] = (
                    os.readlink(p) if os.path.islink(p) else open(p, "rb").read() if os.path.isfile(p) else None
                )
        return found

    def kept(self, before, name=".", what="", more=()):
        """Every file of `before` still has its bytes, and nothing came but `more`."""
        now = self.tree(name)
        lost = [n for n in sorted(before) if n not in now]
        changed = [n for n in sorted(before) if n in now and now[n] != before[n]]
        new = [n for n in sorted(now) if n not in before and not any(re.match(m, n) for m in more)]
        self.want(not lost, "%slost %d of %d files (%s)" % (what, len(lost), len(before), ", ".join(lost[:3])))
        self.want(not changed, "%schanged %d of %d files (%s)" % (what, len(changed), len(before), ", ".join(changed[:3])))
        self.want(not new, "%sleft behind %s" % (what, ", ".join(new[:3])))

    def restore(self, before, name="."):
        """Puts all back as it was, so that the next case stands by itself."""
        now = self.tree(name)
        for n in now:
            if n not in before or now[n] != before[n]:
                os.unlink(os.path.join(self.path(name), n))
        for n, data in before.items():
            p = os.path.join(self.path(name), n)
            if os.path.lexists(p) or data is None:
                continue
            os.makedirs(os.path.dirname(p), exist_ok=True)
            if isinstance(data, str):
                os.symlink(data, p)
            else:
                inputs.write(p, data)

    def must(self, *words):
        self.shared.must(*[str(w) for w in words])

    def ffmpeg(self, *words):
        self.must("ffmpeg", "-v", "error", "-nostdin", "-y", *words)

    def picture(self, name, rgb, **how):
        inputs.png(self.path(name), rgb, **how)
        return self.path(name)

    def two(self):
        """a.png and b.png, 64 x 48, unlike."""
        return self.picture("a.png", inputs.scene(1)), self.picture("b.png", inputs.scene(2))

    def video(self, name="v.mp4", frames=12):
        path = self.path(name)
        self.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=24", "-frames:v", frames, "-pix_fmt", "yuv420p", path)
        return path

    def probe(self, path, what="width,height"):
        """Those fields of the first video stream, as text."""
        done = subprocess.run(
            ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=" + what, "-of", "default=nw=1", path],
            capture_output=True,
            timeout=30,
        )
        return dict(line.split("=", 1) for line in done.stdout.decode().split() if "=" in line)

    def frames(self, path, pixels="rgb24", filters="null"):
        """[n, height, width, 3] of a clip or a picture, by ffmpeg; gray gives [n, height, width]."""
        if path.endswith(".png") and pixels == "rgb24" and filters == "null":
            picture = inputs.png_read(path)
            if picture is not None:
                return picture[None]
        size = self.probe(path)
        w, h = int(size["width"]), int(size["height"])
        done = subprocess.run(
            [
                "ffmpeg",
                "-v",
                "error",
                "-nostdin",
                "-noautorotate",
                "-i",
                path,
                "-vf",
                filters,
                "-fps_mode",
                "passthrough",
                "-f",
                "rawvideo",
                "-pix_fmt",
                pixels,
                "-",
            ],
            capture_output=True,
            timeout=30,
        )
        shape = (-1, h, w) if pixels == "gray" else (-1, h, w, 3)
        return np.frombuffer(done.stdout, np.uint8).reshape(shape).astype(float)

    def shown(self, key, *more, size=None):
        """The keyframe as the program takes it: [height, width, 3], or None if it does not render."""
        with self.lock:
            self.count = getattr(self, "count", 0) + 1
        out = self.path("shown%d" % self.count)
        os.mkdir(out)
        r = self.do("render", key, key, "-n", 2, "-o", out + "/s-%d.png", *more)
        made = sorted(os.listdir(out))
        if r.status != 0 or not made:
            self.want(r.status is None, "%s: %s" % (r.words, r.said))
            return None
        return self.frames(os.path.join(out, made[0]))[0]

    def like(self, what, seen, right, limit=4.0, block=8):
        """Root mean square within the limit, of 255. Pictures of whole blocks are compared in the blocks' middles: what subsampled chroma
        does to edges is no matter here."""
        if seen is None:
            return
        if self.want(
            seen.shape == right.shape, "%s: %d x %d, wanted %d x %d" % ((what,) + seen.shape[1::-1] + right.shape[1::-1])
        ):
            if seen.shape[0] % block == 0 and seen.shape[1] % block == 0:
                n, inner = block, slice(block // 4, block - block // 4)
                seen, right = (
                    p.reshape(p.shape[0] // n, n, -1, n, 3)[:, inner, :, inner].mean(axis=(1, 3)) for p in (seen, right)
                )
            rms = float(np.sqrt(np.mean((seen - right) ** 2)))
            self.want(rms <= limit, "%s: rmse %.1f of 255, limit %.1f" % (what, rms, limit))
