"""The largest difference of two pictures in steps of 8 bits, and whether it is allowed: png_differ.py PNG PNG|RGB ALLOWED. RGB: raw samples."""
import struct, sys, zlib
def png(path):
    data, at, body, text = open(path, "rb").read(), 8, b"", b""
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        chunk = data[at + 8:at + 8 + n]
        assert zlib.crc32(kind + chunk) == struct.unpack(">I", data[at + 8 + n:at + 12 + n])[0], kind
        if kind == b"IHDR":
            w, h, depth, colour = struct.unpack(">IIBB", chunk[:10])
            assert (depth, colour) == (8, 2), (depth, colour)
        body += chunk if kind == b"IDAT" else b""
        at += 12 + n
    raw, row, out = zlib.decompress(body), bytearray(3 * w), bytearray()
    for y in range(h):
        kind, line = raw[y * (3 * w + 1)], bytearray(raw[y * (3 * w + 1) + 1:(y + 1) * (3 * w + 1)])
        for i in range(3 * w):
            a, b, c = (line[i - 3] if i > 2 else 0), row[i], (row[i - 3] if i > 2 else 0)
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line[i] = line[i] + (0, a, b, (a + b) // 2, paeth)[kind] & 255
        row = line
        out += line
    return bytes(out)
a, b = (open(x, "rb").read() if x.endswith(".rgb") else png(x) for x in sys.argv[1:3])
assert len(a) == len(b), (len(a), len(b))
worst = max(abs(x - y) for x, y in zip(a, b))
print("largest difference %d, allowed %s" % (worst, sys.argv[3]))
sys.exit(worst > int(sys.argv[3]))
