"""A picture of 48 x 32 samples as stored, four quadrants red, green / blue, white, with an EXIF orientation or a density.

oriented.py OUT png|png-late|webp|webp-prefix|tiff-le|tiff-be|jpeg ORIENTATION
oriented.py OUT png-density|jpeg-density X Y      samples per metre, per inch
oriented.py OUT animated-webp"""
import struct
import subprocess
import sys
import zlib

W, H = 48, 32
COLOURS = [[(200, 20, 20), (20, 200, 20)], [(20, 20, 200), (220, 220, 220)]]
rows = [b"".join(bytes(COLOURS[y >= H // 2][x >= W // 2]) for x in range(W)) for y in range(H)]


def exif(n, order="<"):
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "IHHHIHHI", 8, 1, 274, 3, 1, n, 0, 0)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(before=b"", after=b""):
    data = zlib.compress(b"".join(b"\0" + r for r in rows))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, 8, 2, 0, 0, 0)) + before +
            chunk(b"IDAT", data) + after + chunk(b"IEND", b""))


def by_ffmpeg(kind, *options):
    return subprocess.run(["ffmpeg", "-v", "error", "-f", "png_pipe", "-i", "-", *options, "-f", kind, "-"],
                          input=png(), stdout=subprocess.PIPE, check=True).stdout


def riff(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def webp(payload):
    plain = by_ffmpeg("webp", "-c:v", "libwebp", "-lossless", "1")
    body = riff(b"VP8X", struct.pack("<II", 8, W - 1)[:7] + struct.pack("<I", H - 1)[:3]) + plain[12:]
    if payload:
        body += riff(b"EXIF", payload)
    return riff(b"RIFF", b"WEBP" + body)


def animated():
    vp8 = by_ffmpeg("webp", "-c:v", "libwebp", "-lossless", "1")[12:]
    size = struct.pack("<I", W - 1)[:3] + struct.pack("<I", H - 1)[:3]
    frame = riff(b"ANMF", b"\0" * 6 + size + struct.pack("<I", 100) + vp8)
    return riff(b"RIFF", b"WEBP" + riff(b"VP8X", struct.pack("<I", 2) + size) + riff(b"ANIM", b"\0" * 6) + frame * 3)


def tiff(n, order):
    pixels = b"".join(rows)
    at = 8 + len(pixels)
    entries = [(256, 3, 1, W), (257, 3, 1, H), (258, 3, 3, at), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 8),
               (274, 3, 1, n), (277, 3, 1, 3), (278, 3, 1, H), (279, 4, 1, len(pixels)), (284, 3, 1, 1)]
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", at + 6) + pixels
    out += struct.pack(order + "HHHH", 8, 8, 8, len(entries))
    for tag, kind, count, value in entries:
        out += struct.pack(order + "HHI", tag, kind, count)
        out += struct.pack(order + "HH", value, 0) if kind == 3 and count == 1 else struct.pack(order + "I", value)
    return out + struct.pack(order + "I", 0)


def jpeg(app1=b"", density=None):
    plain = by_ffmpeg("mjpeg", "-vf", "setsar=1", "-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj444p")
    if density:  # in the JFIF header, which stands first
        plain = plain[:13] + struct.pack(">BHH", 1, *density) + plain[18:]
    return plain[:2] + app1 + plain[2:]


kind, more = sys.argv[2], [int(x) for x in sys.argv[3:]]
n = more[0] if more else 0
if kind == "png":
    data = png(before=chunk(b"eXIf", exif(n, ">")))
elif kind == "png-late":
    data = png(after=chunk(b"tEXt", b"a\0b" * 1000) + chunk(b"eXIf", exif(n)))
elif kind == "png-density":
    data = png(before=chunk(b"pHYs", struct.pack(">IIB", *more, 1)))
elif kind == "webp":
    data = webp(exif(n))
elif kind == "webp-prefix":
    data = webp(b"Exif\0\0" + exif(n, ">"))
elif kind == "animated-webp":
    data = animated()
elif kind == "jpeg":
    body = b"Exif\0\0" + exif(n)
    data = jpeg(b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body)
elif kind == "jpeg-density":
    data = jpeg(density=more)
else:
    data = tiff(n, "<" if kind == "tiff-le" else ">")
open(sys.argv[1], "wb").write(data)
