#include "video_io/orientation.h"

#include <string.h>

/* A part of the file that may be read. */
typedef struct bytes {
    const uint8_t *at;
    size_t n;
} bytes;

static bytes part(bytes b, size_t from, size_t n) {
    if (from > b.n) {
        return (bytes){b.at, 0};
    }
    return (bytes){b.at + from, n < b.n - from ? n : b.n - from};
}

static bool begins(bytes b, const char *magic, size_t n) {
    return b.n >= n && !memcmp(b.at, magic, n);
}

/* Both need `from + 2` or 4 bytes to be there. */
static unsigned get16(bytes b, size_t from, bool little) {
    const uint8_t *p = b.at + from;
    return little ? p[0] | (unsigned)p[1] << 8 : p[1] | (unsigned)p[0] << 8;
}

static uint32_t get32(bytes b, size_t from, bool little) {
    uint32_t low = get16(b, from + (little ? 0 : 2), little),
             high = get16(b, from + (little ? 2 : 0), little);
    return low | high << 16;
}

/* A TIFF structure, as in EXIF and in TIFF files themselves: tag 274 of its first directory. */
static int tiff_orientation(bytes b) {
    enum { ORIENTATION = 274, SHORT = 3, ENTRY = 12 };
    bool little = begins(b, "II*\0", 4);
    if (b.n < 8 || (!little && !begins(b, "MM\0*", 4))) {
        return 0;
    }
    size_t at = get32(b, 4, little);
    if (at > b.n || b.n - at < 2) {
        return 0;
    }
    unsigned entries = get16(b, at, little);
    for (at += 2; entries && b.n - at >= ENTRY; entries--, at += ENTRY) {
        if (get16(b, at, little) != ORIENTATION) {
            continue;
        }
        unsigned value = get16(b, at + 8, little);
        bool good =
            get16(b, at + 2, little) == SHORT && get32(b, at + 4, little) >= 1 && value >= 1 && value <= 8;
        return good ? (int)value : 0;
    }
    return 0;
}

/* Chunks: length, name, content, checksum. */
static void read_png(bytes b, ib_picture_tags *t) {
    for (size_t at = 8; at < b.n && b.n - at >= 12;) {
        size_t length = get32(b, at, false);
        bytes name = part(b, at + 4, 4), content = part(b, at + 8, length);
        if (content.n < length || begins(name, "IEND", 4)) {
            return;
        }
        if (begins(name, "eXIf", 4) && !t->orientation) {
            t->orientation = tiff_orientation(content);
        }
        if (begins(name, "pHYs", 4) && length == 9) {
            t->density = content.at[8] == 1;
        }
        at += 12 + length; /* no further than 4 bytes behind the end */
    }
}

/* Chunks in a RIFF: name, length, content, and a byte of padding behind an odd one. */
static void read_webp(bytes b, ib_picture_tags *t) {
    for (size_t at = 12; at < b.n && b.n - at >= 8;) {
        size_t length = get32(b, at + 4, true);
        bytes name = part(b, at, 4), content = part(b, at + 8, length);
        if (begins(name, "VP8X", 4) && content.n) {
            t->animated = content.at[0] & 2;
        }
        if (begins(name, "EXIF", 4) && !t->orientation) {
            t->orientation =
                tiff_orientation(begins(content, "Exif\0", 6) ? part(content, 6, length) : content);
        }
        if (content.n < length) {
            return;
        }
        at += 8 + length + (length & 1);
    }
}

ib_picture_tags ib_picture_tags_of(const uint8_t *data, size_t size) {
    ib_picture_tags t = {0};
    bytes b = {data, size};
    if (begins(b, "\x89PNG\r\n\x1a\n", 8)) {
        read_png(b, &t);
    } else if (begins(b, "RIFF", 4) && begins(part(b, 8, 4), "WEBP", 4)) {
        read_webp(b, &t);
    } else if (begins(b, "\xff\xd8\xff\xe0", 4) && begins(part(b, 6, 5), "JFIF", 5) && b.n > 13) {
        t.density = b.at[13] == 1 || b.at[13] == 2;
    } else {
        t.orientation = tiff_orientation(b);
    }
    return t;
}
