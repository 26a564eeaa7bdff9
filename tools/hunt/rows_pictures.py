"""Rows on pictures: what comes out is what a person sees in the source, or the program says why not."""

import itertools, os, re

import numpy as np

import inputs
from bench import row


def roundness(picture):
    """Width by height of a bright blob, from its second moments; 1 for a circle."""
    grey = picture if picture.ndim == 2 else picture.mean(axis=2)
    w = np.clip(grey - grey.min() - 0.3 * (grey.max() - grey.min()), 0, None)
    y, x = np.mgrid[: w.shape[0], : w.shape[1]]
    mx, my = (w * x).sum() / w.sum(), (w * y).sum() / w.sum()
    return float(np.sqrt((w * (x - mx) ** 2).sum() / (w * (y - my) ** 2).sum()))


def ratio(text):
    a, _, c = text.partition(":")
    return float(a) / float(c) if c and a.isdigit() and float(a) and float(c) else 1.0


@row(5, "anamorphic video (DVD: 720x480 with 32:27)")
def sample_aspect(b):
    w, h = 720, 480
    y, x = np.mgrid[:h, :w]
    disc = ((x - 360) * 32 / 27) ** 2 + (y - 240) ** 2 < 120**2
    b.picture("disc.png", np.where(disc, 230, 20).astype(np.uint8)[..., None].repeat(3, 2))
    for name, codec in (
        ("dvd.mpg", ("-c:v", "mpeg2video", "-q:v", "3")),
        ("dvd.mp4", ("-c:v", "libx264", "-preset", "ultrafast")),
    ):
        v = b.path(name)
        b.ffmpeg("-loop", 1, "-i", b.path("disc.png"), "-frames:v", 6, "-vf", "setsar=32/27,format=yuv420p", "-r", 25, *codec, v)
        stored_as = b.probe(v, "sample_aspect_ratio").get("sample_aspect_ratio")
        if not b.want(stored_as == "32:27", "%s was made with %s" % (name, stored_as)):
            continue
        for out, more in (("o.mp4", ()), ("o-%02d.png", ()), ("s.mp4", ("--size", "320x180"))):
            if not b.want(
                b.good("render", v + "@0s", v + "@0.1s", "-n", 3, "-o", b.path(out), "--overwrite", *more).status == 0,
                "%s is not rendered" % name,
            ):
                continue
            made = b.path(out.replace("%02d", "01"))
            r = roundness(b.frames(made)[0]) * ratio(b.probe(made, "sample_aspect_ratio").get("sample_aspect_ratio", "1:1"))
            b.want(abs(r - 1) < 0.03, "%s: the circle is %.3f times as wide as high" % (out, r))
        b.good("encode", v, "-o", b.path("l"), "--size", "192x112")
        encoded_circle(b, b.path("l/" + name.split(".")[0] + ".h5"))
        info = b.do("info", v)
        b.want("32:27" in info.out, "info does not name 32:27")
    return "circles are round, info names 32:27"


def encoded_circle(b, path):
    """The first frame's means of 8 x 8 luma samples tell whether encode has squeezed the circle."""
    try:
        import h5py
    except ImportError:
        return
    with h5py.File(path, "r") as f:
        rows, cols = int(f.attrs["rows"]), int(f.attrs["cols"])
        r = roundness(f["latents"][0][:, 0].astype(float).reshape(rows, cols))
    b.want(abs(r - 1) < 0.06, "encode: the circle is %.3f times as wide as high" % r)


@row(6, "EXIF orientation of PNG, WebP, TIFF, JPEG, all eight")
def orientation(b):
    upright = inputs.arrow()
    for o in range(1, 9):
        lying = inputs.stored(upright, o)
        h, w = lying.shape[:2]
        b.picture("o%d.png" % o, lying, exif=inputs.exif(o, big=o % 3 == 0))
        inputs.tiff(b.path("o%d.tif" % o), lying, o, big=o % 3 == 1)
        plain = b.picture("plain.png", lying)
        b.ffmpeg("-i", plain, "-pix_fmt", "yuvj444p", "-q:v", 2, b.path("plain.jpg"))
        inputs.write(b.path("o%d.jpg" % o), inputs.jpeg_with_exif(b.bytes("plain.jpg"), o))
        b.ffmpeg("-i", plain, "-c:v", "libwebp", "-lossless", 1, b.path("plain.webp"))
        inputs.write(b.path("o%d.webp" % o), inputs.webp_with_exif(b.bytes("plain.webp"), w, h, o))
        for name in ("o%d.png", "o%d.tif", "o%d.jpg", "o%d.webp"):
            seen = b.shown(b.path(name % o))
            b.like(name % o, seen, upright.astype(float), 5.0)
    return "32 pictures upright"


def pq(nits):
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    y = (nits / 10000) ** m1
    return ((c1 + c2 * y) / (1 + c3 * y)) ** m2


@row(7, "HDR (PQ, HLG): light, tags, info, mixing with SDR")
def hdr(b):
    # three bars: 3 nits, grey card of 18 % and diffuse white of 203 nits, by BT.2408
    for name, transfer, levels, called in (
        ("pq", "smpte2084", [pq(3), pq(36.5), pq(203)], "PQ|2084|HDR"),
        ("hlg", "arib-std-b67", [0.12, 0.38, 0.75], "HLG|B67|HDR"),
    ):
        luma = np.repeat(np.array([round(64 + 876 * v) for v in levels]), [24, 24, 16])[None].repeat(48, 0).astype("<u2")
        raw = luma.tobytes() + np.full(48 * 64 // 2, 512, "<u2").tobytes()
        inputs.write(b.path("raw.yuv"), raw * 12)
        v = b.path(name + ".mp4")
        tags = ("-color_trc", transfer, "-color_primaries", "bt2020", "-colorspace", "bt2020nc", "-color_range", "tv")
        b.ffmpeg(
            "-f",
            "rawvideo",
            "-pix_fmt",
            "yuv420p10le",
            "-s",
            "64x48",
            "-r",
            24,
            "-i",
            b.path("raw.yuv"),
            "-c:v",
            "libx264",
            *tags,
            v
        )
        for out in ("o.mp4", "o-%02d.png"):
            r = b.good("render", v + "@0s", v + "@0.4s", "-n", 3, "-o", b.path(out), "--overwrite")
            if r.status:
                continue
            made = b.path(out.replace("%02d", "01"))
            f = b.frames(made)[0][20:28]
            black, mid, white = f[:, 4:16].mean(), f[:, 30:42].mean(), f[:, 54:62].mean()
            b.want(
                black < 75 and 60 < mid < 190 and white > 152 and white - mid > 50,
                "%s to %s: 3 nits, grey card and white are %.0f, %.0f and %.0f of 255" % (name, out, black, mid, white),
            )
            if out == "o.mp4":
                t = b.probe(made, "color_transfer,color_primaries,color_space")
                b.want(
                    t.get("color_transfer") == "bt709" and t.get("color_primaries") == "bt709",
                    "%s: tagged transfer %s, primaries %s, matrix %s"
                    % (name, t.get("color_transfer"), t.get("color_primaries"), t.get("color_space")),
                )
        b.want(re.search(called, b.do("info", v).out), "info does not say that it is %s" % name.upper())
        sdr = b.video("sdr.mp4")
        r = b.do("render", v + "@0s", sdr + "@0s", "-n", 3, "-o", b.path("mix-%02d.png"), "--overwrite")
        if r.status == 0:
            w = b.frames(b.path("mix-01.png"))[0][20:28, 54:62].mean()
            b.want(w > 152, "%s mixed with SDR without conversion: white is %.0f" % (name, w))
        b.good("encode", v, "-o", b.path("l"), "--size", "64x48")
    return "tone-mapped, tagged bt709, named by info"


def combs(picture):
    """Mean of what the lines of one parity differ from the mean of their neighbours, where something moves."""
    g = picture.mean(axis=2)[8:-8]
    d = np.abs(2 * g[1:-1] - g[:-2] - g[2:])
    return float(np.sort(d.ravel())[-d.size // 20 :].mean())


@row(8, "interlaced video")
def interlaced(b):
    # a bright upright bar on grey moves 4 samples a field: without combs all lines are alike
    fields = []
    for t in range(24):
        f = np.full((96, 128), 60, np.uint8)
        f[:, 10 + 4 * t : 30 + 4 * t] = 220
        fields.append(f)
    raw = b"".join(np.where((np.arange(96) % 2 == 0)[:, None], fields[t], fields[t + 1]).tobytes() for t in range(0, 24, 2))
    inputs.write(b.path("raw.y"), raw)
    b.ffmpeg(
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-s",
        "128x96",
        "-r",
        25,
        "-i",
        b.path("raw.y"),
        "-vf",
        "setfield=tff,format=yuv420p",
        "-c:v",
        "mpeg2video",
        "-flags",
        "+ilme+ildct",
        "-top",
        1,
        "-q:v",
        2,
        b.path("il.mpg"),
    )
    v = b.path("il.mpg")
    r = b.good("render", v + "@0.12s", v + "@0.32s", "-n", 3, "-o", b.path("o-%02d.png"))
    if r.status == 0:
        c = combs(b.frames(b.path("o-01.png"))[0])
        b.want(c < 60, "combs of %.0f of 255 in the keyframe" % c)
    said = [line for line in r.err.splitlines() if "nterlac" in line]
    b.want(len(said) >= 1, "render does not say that it is interlaced")
    b.want(len(said) <= 1, "render says %d times that it is interlaced" % len(said))
    r = b.good("encode", v, "-o", b.path("l"), "--size", "128x96")
    b.want(
        sum("nterlac" in line for line in r.err.splitlines()) == 1,
        "encode says %d times that it is interlaced" % sum("nterlac" in line for line in r.err.splitlines()),
    )
    b.want("nterlac" in b.do("info", v).out, "info does not say that it is interlaced")
    r = b.do("render", v + "@0.12s", v + "@0.32s", "-n", 3, "-o", b.path("off-%02d.png"), "--deinterlace", "off")
    if b.want(r.status == 0, "--deinterlace off: %s" % r.said):
        b.want(combs(b.frames(b.path("off-01.png"))[0]) > 100, "--deinterlace off has no combs")
    return "no combs, said once"


@row(9, "GIF above 50 frames a second")
def fast_gif(b):
    a, other = b.two()
    for fps in (60, 100, 120, 1000):
        r = b.do("render", a, other, "-n", 13, "--fps", fps, "-o", b.path("o.gif"))
        if r.status == 0:
            delays = inputs.gif_delays(b.bytes("o.gif"))
            b.want(min(delays) >= 2, "%d: delays of 1/100 s, which browsers play as 10" % fps)
            b.want(abs(sum(delays) - 1300 / fps) <= 3, "%d: lasts %.2f s, wanted %.2f" % (fps, sum(delays) / 100, 13 / fps))
        else:
            b.sentence(r, says=["50"])
    b.good("render", a, other, "-n", 13, "--fps", 50, "-o", b.path("o.gif"))
    delays = inputs.gif_delays(b.bytes("o.gif") or b"GIF89a\0\0\0\0\0\0\0;")
    b.want(delays == [2] * 13, "50: delays are %s" % delays)
    return "thinned or refused with a sentence"


@row(63, "turned videos; keyframes of unlike matrix, range and sampling")
def tags(b):
    upright = inputs.arrow()
    up = b.picture("up.png", upright)
    b.ffmpeg("-loop", 1, "-i", up, "-frames:v", 3, "-pix_fmt", "yuv444p", "-qp", 1, b.path("up.mp4"))
    for turn in (90, 180, 270):
        v = b.path("turn%d.mp4" % turn)
        b.ffmpeg("-i", b.path("up.mp4"), "-c", "copy", "-metadata:s:v", "rotate=%d" % turn, v)
        b.like("turned by %d" % turn, b.shown(v + "@0"), np.rot90(upright, turn // 90).astype(float), 5)
    kinds = [
        ("bt709", "tv", "yuv420p"),
        ("bt470bg", "pc", "yuv444p"),
        ("smpte240m", "tv", "yuv422p"),
        ("bt2020nc", "tv", "yuv420p10le"),
    ]
    for n, (matrix, span, pixels) in enumerate(kinds):
        b.ffmpeg(
            "-loop",
            1,
            "-i",
            up,
            "-frames:v",
            3,
            "-vf",
            "scale=out_color_matrix=%s:out_range=%s,format=%s" % (matrix, span, pixels),
            "-colorspace",
            matrix,
            "-color_range",
            span,
            "-color_primaries",
            "bt709",  # the matrix alone differs; BT.2020's own primaries are for row 7
            "-color_trc",
            "bt709",
            "-qp",
            1,
            b.path("k%d.mp4" % n),
        )
    for first, last in itertools.permutations(range(len(kinds)), 2):
        for out in ("o-%d.png", "o.mp4"):
            r = b.good("render", b.path("k%d.mp4@0" % first), b.path("k%d.mp4@0" % last), "-n", 2, "-o", b.path(out))
            if r.status == 0:
                seen = [b.frames(b.path("o-%d.png" % i))[0] for i in (1, 2)] if "%" in out else b.frames(b.path(out))
                for i, k in enumerate((first, last)):
                    b.like(
                        "%s of %s beside %s to %s" % (("first", "last")[i], kinds[k], kinds[(last, first)[i]], out),
                        seen[i],
                        upright.astype(float),
                        6,
                    )
        for i in (1, 2):
            if os.path.exists(b.path("o-%d.png" % i)):
                os.unlink(b.path("o-%d.png" % i))
    return "colours as in the source"


def luma_chroma(rgb):
    """Y, Cb, Cr of BT.601, 0..255: where the product keeps its samples, and where a wrong colour shows."""
    y = rgb @ np.array([0.299, 0.587, 0.114])
    return np.stack([y, (rgb[..., 2] - y) / 1.772 + 128, (rgb[..., 0] - y) / 1.402 + 128], 2)


@row(26, "plain slerp of unlike pictures stays between its two sources")
def between(b):
    rng = np.random.default_rng(11)
    flat = lambda *c: np.zeros((48, 64, 3), np.uint8) + np.array(c, np.uint8)  # noqa: E731
    noise = lambda: rng.integers(0, 256, (48, 64)).astype(np.uint8)[..., None].repeat(3, 2)  # noqa: E731
    coarse = lambda: np.repeat(np.repeat(rng.integers(0, 256, (6, 8, 3)), 8, 0), 8, 1).astype(np.uint8)  # noqa: E731
    dark = np.clip(rng.normal(4, 3, (48, 64, 3)), 0, 255).astype(np.uint8)
    pairs = {
        "black, white": (flat(0, 0, 0), flat(255, 255, 255)),
        "black, grey": (flat(0, 0, 0), flat(128, 128, 128)),
        "mid-grey, white": (flat(126, 126, 126), flat(255, 255, 255)),
        "red, blue": (flat(200, 20, 20), flat(20, 20, 200)),
        "yellow, black": (flat(220, 220, 20), flat(1, 1, 1)),
        "grey noise": (noise(), noise()),
        "coloured blocks": (coarse(), coarse()),
        "dark, bright blocks": (dark, np.clip(coarse().astype(int) + 120, 0, 255).astype(np.uint8)),
        "checker, its opposite": tuple(
            np.where((np.indices((48, 64)).sum(0) // 4 % 2 == k)[..., None], 250, 5).astype(np.uint8).repeat(3, 2) for k in (0, 1)
        ),
    }
    worst = {}
    for name, (a, c) in pairs.items():
        b.picture("a.png", a), b.picture("c.png", c)
        r = b.good(
            "render",
            b.path("a.png"),
            b.path("c.png"),
            "--adapter",
            "none",
            "-n",
            5,
            "-o",
            b.path(name.replace(", ", "-").replace(" ", "-") + "-%d.png"),
        )
        if r.status:
            continue
        f = [b.frames(b.path(name.replace(", ", "-").replace(" ", "-") + "-%d.png" % i))[0] for i in range(1, 6)]
        f = [luma_chroma(p) for p in f]
        low, high = np.minimum(f[0], f[4]), np.maximum(f[0], f[4])
        out = max(float(np.max(np.maximum(low - m, m - high))) for m in f[1:4])
        worst[name] = out
        # 6 steps of limited range are 7 of 255; RGB of 8 bits, rounded and clipped, takes the rest
        b.want(out <= 10, "%s: %.0f of 255 outside the range of the two (10)" % (name, out))
    return "at most %.0f of 255 outside" % max(worst.values())
