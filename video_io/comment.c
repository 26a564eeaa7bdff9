#include "video_io/comment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <libavutil/intreadwrite.h>
#include "video_io/av.h"

enum { SIGNATURE = 8 };
static const uint8_t signature[SIGNATURE] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
static const char key[] = "parameters";

/* Latin-1 as UTF-8. */
static char *widened(const char *text, size_t n) {
    char *out = malloc(2 * n + 1), *to = out;
    for (size_t i = 0; out && i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x80) {
            *to++ = (char)(0xc0 | c >> 6);
            c = 0x80 | (c & 0x3f);
        }
        *to++ = (char)c;
    }
    if (out) {
        *to = 0;
    }
    return out;
}

/* The text of a chunk, if it is under the key and not compressed. */
static char *text_of(const char *data, size_t n, bool international) {
    if (n < sizeof key || memcmp(data, key, sizeof key) != 0) {
        return NULL;
    }
    const char *at = data + sizeof key, *end = data + n;
    if (!international) {
        return widened(at, (size_t)(end - at));
    }
    if (end - at < 2 || *at) { /* compressed; its method */
        return NULL;
    }
    at += 2;
    for (int i = 0; i < 2; i++) { /* language, translated key */
        const char *stop = memchr(at, 0, (size_t)(end - at));
        if (!stop) {
            return NULL;
        }
        at = stop + 1;
    }
    return strndup(at, (size_t)(end - at));
}

/* Chunk by chunk to the pixels: behind them nobody writes it. */
static char *png_text(FILE *f) {
    uint8_t head[8];
    char *text = NULL;
    while (!text && fread(head, 1, sizeof head, f) == sizeof head && memcmp(head + 4, "IDAT", 4) != 0) {
        uint32_t n = AV_RB32(head);
        bool international = !memcmp(head + 4, "iTXt", 4);
        if ((!international && memcmp(head + 4, "tEXt", 4) != 0) || n > IB_COMMENT_MOST) {
            if (fseek(f, (long)n + 4, SEEK_CUR)) {
                break;
            }
            continue;
        }
        char *data = malloc(n ? n : 1);
        bool whole = data && fread(data, 1, n, f) == n && !fseek(f, 4, SEEK_CUR);
        text = whole ? text_of(data, n, international) : NULL;
        free(data);
        if (!whole) {
            break;
        }
    }
    return text;
}

static char *clip_text(const char *path) {
    AVFormatContext *f = avformat_alloc_context();
    char *text = NULL;
    if (f && ib_av_open_file(&f, path, NULL) >= 0) {
        const AVDictionaryEntry *e = av_dict_get(f->metadata, "comment", NULL, 0);
        text = e && strlen(e->value) <= IB_COMMENT_MOST ? strdup(e->value) : NULL;
    }
    avformat_close_input(&f);
    return text;
}

int ib_comment_read(const char *path, char **text, ib_error *err) {
    uint8_t head[SIGNATURE];
    struct stat st;
    *text = NULL;
    if (!stat(path, &st) && !S_ISREG(st.st_mode)) {
        return IB_OK; /* a stream was read to its end already */
    }
    FILE *f = fopen(path, "rbe");
    if (!f) {
        return ib_fail(err, IB_E_IO, "%s: cannot be read: %s", path, strerror(errno));
    }
    bool png = fread(head, 1, SIGNATURE, f) == SIGNATURE && !memcmp(head, signature, SIGNATURE);
    *text = png ? png_text(f) : NULL;
    fclose(f);
    if (!png) {
        *text = clip_text(path);
    }
    return IB_OK;
}
