"""Rows on formats: pictures and videos of all kinds against ffmpeg, or against what they were made from."""

import json, os, subprocess

import numpy as np

import inputs
from bench import Skip, row


@row(16, "animated WebP")
def animated_webp(b):
    data = []
    for i in range(3):
        b.ffmpeg("-i", b.picture("f.png", inputs.scene(i)), "-c:v", "libwebp", "-lossless", 1, b.path("f.webp"))
        data.append(b.bytes("f.webp"))
    inputs.write(b.path("an.webp"), inputs.webp_animated(data, 64, 48))
    a, _ = b.two()
    for words in (
        ("encode", b.path("an.webp"), "-o", b.path("l"), "--size", "64x48"),
        ("render", b.path("an.webp"), a, "-n", 3, "-o", b.path("o.mp4")),
        ("info", b.path("an.webp")),
    ):
        r = b.do(*words)
        b.want(
            r.status == 0 and words[0] != "info" or "animated" in (r.out + r.err).lower(),
            "%s: %s" % (words[0], r.said or r.out[:80]),
        )
    if os.path.exists(b.path("o.mp4")):
        b.like("first frame", b.frames(b.path("o.mp4"))[0], inputs.scene(0).astype(float), 6)
    return "read, or named"


@row(17, "GIF and APNG: frames, disposal, transparency")
def animations(b):
    palette = [0, 0, 0, 200, 40, 40, 40, 200, 40, 60, 60, 220, 220, 220, 220]
    full = np.full((48, 64), 1, np.uint8)
    patch = np.full((16, 16), 2, np.uint8)
    hole = np.full((16, 16), 3, np.uint8)
    hole[:, :8] = 4
    frames = [(full, 0, 0, 1, None, 10), (patch, 8, 8, 2, None, 10), (hole, 32, 16, 3, 4, 10), (patch, 40, 24, 1, None, 10)]
    inputs.gif(b.path("a.gif"), frames, palette, 64, 48)
    colours = np.array(palette, float).reshape(-1, 3)
    at, steps = np.full((48, 64), 1), []
    one = at.copy()
    one[8:24, 8:24] = 2
    two = at.copy()
    two[8:24, 8:24] = 0  # disposed of: nothing there, which is black
    three = two.copy()
    two = two.copy()
    two[16:32, 40:48] = 3
    three[24:40, 40:56] = 2
    steps = [at, one, two, three]
    for i, right in enumerate(steps):
        b.like("frame %d of a GIF" % i, b.shown("%s@%.2f" % (b.path("a.gif"), i * 0.1 + 0.01)), colours[right], 14)
    b.ffmpeg("-i", b.video(), "-plays", 0, "-f", "apng", b.path("v.png.apng"))
    b.ffmpeg("-i", b.path("v.mp4"), b.path("v.gif"))
    for name, n in (("a.gif", 4), ("v.png.apng", 12), ("v.gif", 12)):
        r = b.good("encode", b.path(name), "-o", b.path("l"), "--size", "64x48", "--json")
        got = json.loads(r.out)["videos"][0].get("frames") if r.status == 0 else None
        b.want(got == n, "%s: %s frames, wanted %d" % (name, got, n))
    return "all frames, right colours"


@row(18, "alpha: RGBA, grey with alpha, palette, WebP, ProRes 4444")
def alpha(b):
    rgb = inputs.scene(5).astype(float)
    a = np.repeat(np.array([255, 128, 0, 64], np.uint8), 16)[None].repeat(48, 0)
    right = rgb * a[..., None] / 255
    b.picture("rgba.png", np.dstack([rgb.astype(np.uint8), a]))
    b.like("RGBA", b.shown(b.path("rgba.png")), right, 4)
    grey = rgb[..., 0].astype(np.uint8)
    b.picture("la.png", np.dstack([grey, a]))
    b.like("grey with alpha", b.shown(b.path("la.png")), (grey * (a / 255.0))[..., None].repeat(3, 2), 4)
    index = np.repeat(np.repeat(np.arange(48).reshape(6, 8) % 16, 8, 0), 8, 1).astype(np.uint8)
    palette = np.random.default_rng(3).integers(30, 226, (16, 3)).astype(np.uint8)
    clear = np.array([255, 0, 128] + [255] * 5 + [40] * 8, np.uint8)
    b.picture("p.png", index, palette=palette.tobytes(), transparent=clear.tobytes())
    b.like("palette", b.shown(b.path("p.png")), (palette[index] * (clear[index] / 255.0)[..., None]), 4)
    b.ffmpeg("-i", b.path("rgba.png"), "-c:v", "libwebp", "-lossless", 1, "-pix_fmt", "bgra", b.path("a.webp"))
    b.like("WebP", b.shown(b.path("a.webp")), right, 4)
    b.ffmpeg(
        "-loop",
        1,
        "-i",
        b.path("rgba.png"),
        "-frames:v",
        3,
        "-c:v",
        "prores_ks",
        "-profile:v",
        4,
        "-pix_fmt",
        "yuva444p10le",
        b.path("a.mov"),
    )
    b.like("ProRes 4444", b.shown(b.path("a.mov") + "@0s"), right, 6)
    return "over black"


def by_ffmpeg(b, path):
    return b.frames(path, filters="scale=sws_flags=accurate_rnd+full_chroma_int+bilinear")[0]


@row(19, "16 bits, 1 bit, grey, 4:4:4; TGA, BMP, PPM, JP2, PCX, SGI, QOI")
def picture_formats(b):
    rgb = inputs.scene(7)
    right = rgb.astype(float)
    b.picture("p.png", rgb)
    b.picture("p16.png", rgb.astype(np.uint16) * 257)
    b.picture("g.png", rgb[..., 1])
    made = ["p.tga", "p.bmp", "p.ppm", "p.tif", "p.pcx", "p.sgi", "p.qoi"]
    b.ffmpeg("-i", b.path("p.png"), *[b.path(n) for n in made], "-c:v", "libopenjpeg", "-pix_fmt", "rgb24", b.path("p.jp2"))
    b.ffmpeg(
        "-i",
        b.path("p.png"),
        "-pix_fmt",
        "yuvj444p",
        "-q:v",
        1,
        b.path("p.jpg"),
        "-lossless",
        1,
        b.path("p.webp"),
        "-pix_fmt",
        "monob",
        b.path("m.png"),
    )
    for name in made + ["p.png", "p16.png", "p.jp2", "p.jpg", "p.webp"]:
        b.like(name, b.shown(b.path(name)), right, 4)
    b.like("g.png", b.shown(b.path("g.png")), right[..., 1:2].repeat(3, 2), 4)
    b.like("m.png", b.shown(b.path("m.png")), by_ffmpeg(b, b.path("m.png")), 4)
    return "the colours that they were made from"


@row(20, "cover art in sound files; cover before the video; sound only")
def cover_art(b):
    a, _ = b.two()
    sound = ("-f", "lavfi", "-i", "sine=duration=1")
    for name, codec in (("c.mp3", ("-c:a", "libmp3lame")), ("c.m4a", ("-c:a", "aac")), ("c.flac", ("-c:a", "flac"))):
        b.ffmpeg(
            *sound,
            "-i",
            a,
            "-map",
            0,
            "-map",
            1,
            *codec,
            "-c:v",
            "mjpeg" if name == "c.mp3" else "png",
            "-disposition:v",
            "attached_pic",
            b.path(name)
        )
        b.refused("encode", b.path(name), "-o", b.path("l"), says=["no video"])
        b.refused("render", b.path(name), a, "-n", 3, "-o", b.path("o.mp4"), says=["no video|no frame|no picture"])
    b.ffmpeg(*sound, b.path("s.mp4"))
    b.refused("encode", b.path("s.mp4"), "-o", b.path("l"), says=["no video"])
    v = b.video()
    b.ffmpeg(
        "-i",
        a,
        "-i",
        v,
        "-map",
        0,
        "-map",
        1,
        "-c:v:0",
        "png",
        "-c:v:1",
        "copy",
        "-disposition:v:0",
        "attached_pic",
        b.path("first.mp4"),
    )
    r = b.good("encode", b.path("first.mp4"), "-o", b.path("l"), "--size", "64x48", "--json")
    b.want(r.status or json.loads(r.out)["videos"][0]["frames"] == 12, "cover first: not the real stream's 12 frames")
    return "no video, or the real stream"


@row(21, "edit list, negative start, raw h264, AVI, TS with an offset")
def containers(b):
    try:
        import h5py
    except ImportError:
        raise Skip("python3-h5py is not here")
    v = b.video("v.mp4", 24)
    b.ffmpeg("-ss", 0.3, "-i", v, "-c", "copy", b.path("edit.mp4"))
    b.ffmpeg("-i", v, "-c", "copy", "-bsf:v", "h264_mp4toannexb", b.path("raw.h264"))
    b.ffmpeg("-i", v, "-c:v", "mpeg4", b.path("a.avi"))
    b.ffmpeg("-i", v, "-c", "copy", "-output_ts_offset", 95000, b.path("o.ts"))
    b.ffmpeg("-i", v, "-c", "copy", "-output_ts_offset", -0.5, "-avoid_negative_ts", "disabled", b.path("neg.mkv"))
    b.ffmpeg(
        "-i",
        v,
        "-vf",
        "setpts='(N+0.3*mod(N,3))/24/TB',settb=1/90000",
        "-fps_mode",
        "vfr",
        "-video_track_timescale",
        90000,
        b.path("vfr.mp4"),
    )
    for name in ("v.mp4", "edit.mp4", "raw.h264", "a.avi", "o.ts", "neg.mkv", "vfr.mp4"):
        probe = subprocess.run(
            [
                "ffprobe",
                "-v",
                "error",
                "-select_streams",
                "v:0",
                "-show_entries",
                "frame=best_effort_timestamp_time",
                "-of",
                "csv=p=0",
                b.path(name),
            ],
            capture_output=True,
            timeout=20,
        )
        times = [float(t.strip(",")) for t in probe.stdout.decode().split() if t.strip(",") not in ("", "N/A")]
        r = b.good("encode", b.path(name), "-o", b.path("l-" + name), "--size", "64x48")
        if r.status:
            continue
        with h5py.File(b.path("l-" + name) + "/" + name.rsplit(".", 1)[0] + ".h5") as f:
            pts = f["pts"][:]
        if name not in ("edit.mp4", "vfr.mp4"):
            times = [i / 24 for i in range(24)]
        b.want(len(pts) == len(times), "%s: %d frames, wanted %d" % (name, len(pts), len(times)))
        if len(pts) == len(times):
            off = float(np.max(np.abs(pts - (np.array(times) - times[0]))))
            b.want(pts[0] == 0 and off < (2e-3 if name != "raw.h264" else 1), "%s: times are off by %.4f s" % (name, off))
    return "times from 0, all frames"


@row(22, "change of size on the way")
def size_change(b):
    for name, size in (("r1.ts", "64x48"), ("r2.ts", "128x96")):
        b.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=%s:r=24" % size, "-frames:v", 12, "-pix_fmt", "yuv420p", b.path(name))
    inputs.write(b.path("r.ts"), b.bytes("r1.ts") + b.bytes("r2.ts"))
    r = b.do("encode", b.path("r.ts"), "-o", b.path("l"), "--size", "64x48", "--json")
    got = json.loads(r.out)["videos"][0] if r.status == 0 else {}
    b.want(
        r.status == 0 and (got["frames"] == 24 or got["frames"] >= 21 and "damaged" in r.err),
        "%s frames of 24: %s" % (got.get("frames"), r.said),
    )
    return "%s frames of 24" % got.get("frames")


@row(23, "pixel formats: 4:1:0 to 4:4:4, 10 and 12 bit, full range, grey, rgb")
def pixel_formats(b):
    rgb = np.repeat(np.repeat(inputs.scene(9, 32, 24), 4, 0), 4, 1)
    b.picture("p.png", rgb)
    right = rgb.astype(float)
    formats = (
        "yuv410p yuv411p yuv422p yuv440p yuv444p yuv420p10le yuv422p12le gray gray10le bgra bgr0 rgb48le yuv444p16le".split()
    )
    outputs = ["-pix_fmt", "yuvj420p", "-c:v", "mjpeg", "-q:v", 1, b.path("yuvj420p.mkv")]
    for name in formats:
        outputs += ["-c:v", "ffv1", "-level", 3, "-pix_fmt", name, b.path(name + ".mkv")]
    b.ffmpeg("-i", b.path("p.png"), *outputs)
    for name in ["yuvj420p"] + formats:
        grey = (right @ np.array([0.299, 0.587, 0.114]))[..., None].repeat(3, 2)
        b.like(name, b.shown(b.path(name + ".mkv@0s")), grey if name.startswith("gray") else right, 4, 32)
    return "the colours that they were made from"


@row(24, "sizes: 1x1, 3x5, 17x33, 2x16384, 16384x2, 16386x16")
def sizes(b):
    for w, h in ((1, 1), (3, 5), (17, 33), (2, 16384), (16384, 2)):
        p = b.picture("p%dx%d.png" % (w, h), np.full((h, w, 3), 120, np.uint8))
        for out in ("o.mp4", "o.gif", "o-%d.png") if w * h < 1000 else ("o-%d.png",):
            r = b.good("render", p, p, "-n", 2, "-o", b.path(out))
            if r.status == 0 and out != "o.mp4":
                made = b.path(out.replace("%d", "1"))
                s = b.probe(made)
                b.want((s.get("width"), s.get("height")) == (str(w), str(h)), "%s of %dx%d is %s" % (out, w, h, s))
                b.want(
                    abs(b.frames(made).mean() - 120) < 4,
                    "%s of %dx%d: grey of %.0f, wanted 120" % (out, w, h, b.frames(made).mean()),
                )
            if os.path.exists(b.path("o-1.png")):
                os.unlink(b.path("o-1.png")), os.unlink(b.path("o-2.png"))
        b.good("encode", p, "-o", b.path("l"), "--size", "64x48")
    p = b.picture("big.png", np.zeros((16, 16386, 3), np.uint8))
    b.refused("render", p, p, "-n", 2, "-o", b.path("big.mp4"), says=["16384"])
    return "right, or refused"


@row(25, "keyframes of unlike size, chains, --loop, all outputs")
def unlike_sizes(b):
    land = b.picture("land.png", inputs.scene(1, 96, 64))
    port = b.picture("port.png", inputs.scene(2, 48, 80))
    b.refused("render", land, port, "-n", 5, "-o", b.path("o.mp4"), says=["96 *x *64", "48 *x *80"])
    for out in ("o.mp4", "o.webm", "o.gif", "o.apng", "o.mkv", "o.mov", "p-%03d.png", "d/"):
        b.good("render", land, port, land, "-n", 5, "--size", "64x48", "--loop", "--ease", "-o", b.path(out))
        n = (
            len([f for f in os.listdir(b.dir) if f.startswith("p-")])
            if "%" in out
            else len(os.listdir(b.path("d"))) if out == "d/" else len(b.frames(b.path(out)))
        )
        b.want(n == 12, "%s: %d frames, wanted 3 x 4" % (out, n))
    b.want(b"NETSCAPE2.0\x03\x01\0\0" in (b.bytes("o.gif") or b""), "the GIF is not endless")
    b.want(b"acTL\0\0\0\x0c\0\0\0\0" in (b.bytes("o.apng") or b""), "the APNG is not endless")
    b.good(
        "render", land, port, "-n", 5, "--size", "64x48", "--compare", "-a", b.shared.adapter(), "-o", b.path("c.mp4")
    )
    b.want(
        b.probe(b.path("c.mp4")).get("width") in ("128", "132", "130", "136"),
        "--compare is %s wide" % b.probe(b.path("c.mp4")).get("width"),
    )
    return "a sentence, or the clip; frames right"


@row(41, "AVIF, JP2, JXL, HEIC in a folder")
def folder_endings(b):
    os.mkdir(b.path("in"))
    p = b.picture("in/a.png", inputs.scene(1))
    b.ffmpeg("-i", p, "-c:v", "libaom-av1", "-still-picture", 1, "-cpu-used", 8, b.path("in/b.avif"))
    b.ffmpeg("-i", p, "-c:v", "libopenjpeg", b.path("in/c.jp2"))
    try:
        b.ffmpeg("-i", p, "-c:v", "libjxl", b.path("in/d.jxl"))
    except RuntimeError:
        pass
    inputs.write(b.path("in/e.heic"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64)
    r = b.do("encode", b.path("in"), "-o", b.path("l"), "--size", "64x48")
    made, text = " ".join(os.listdir(b.path("l"))), r.out + r.err
    for name in sorted(os.listdir(b.path("in"))):
        stem = name.split(".")[0]
        b.want("%s.h5" % stem in made or "%s.h5" % name in made or name in text, "%s is left out without a word" % name)
    r = b.do("info", b.path("in/b.avif"))
    b.want("kind: picture" in r.out, "info calls an AVIF '%s'" % "".join(line for line in r.out.splitlines() if "kind" in line))
    b.like("AVIF", b.shown(b.path("in/b.avif")), inputs.scene(1).astype(float), 8)
    return "taken, or named"
