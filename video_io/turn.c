#include "video_io/av.h"

#include <stdlib.h>
#include <string.h>

/* A display matrix takes (x, y) to (m0 x + m3 y, m1 x + m4 y); what is not a multiple of 90 degrees goes to
 * the nearest. */
ib_turn ib_turn_of_matrix(const int32_t m[9]) {
    int64_t a = m[0], b = m[1], c = m[3], d = m[4];
    if (llabs(b) + llabs(c) > llabs(a) + llabs(d)) {
        return (ib_turn){.transpose = true, .mirror = c < 0, .flip = b < 0};
    }
    return (ib_turn){.mirror = a < 0, .flip = d < 0};
}

ib_turn ib_turn_of_orientation(int exif) {
    switch (exif) {
    case 2:
        return (ib_turn){.mirror = true};
    case 3:
        return (ib_turn){.mirror = true, .flip = true};
    case 4:
        return (ib_turn){.flip = true};
    case 5:
        return (ib_turn){.transpose = true};
    case 6:
        return (ib_turn){.transpose = true, .mirror = true};
    case 7:
        return (ib_turn){.transpose = true, .mirror = true, .flip = true};
    case 8:
        return (ib_turn){.transpose = true, .flip = true};
    default:
        return (ib_turn){0};
    }
}

int ib_turn_degrees(ib_turn t) {
    if (t.transpose) {
        return t.flip && !t.mirror ? 270 : 90;
    }
    return t.flip ? 180 : 0;
}

static void turn_plane(ib_turn t, const uint8_t *src, ptrdiff_t stride, int w, int h, uint8_t *dst,
                       size_t dst_stride) {
    enum { TILE = 32 };
    int dw = t.transpose ? h : w, dh = t.transpose ? w : h;
    if (!t.transpose) {
        for (int y = 0; y < dh; y++) {
            const uint8_t *s = src + (t.flip ? dh - 1 - y : y) * stride;
            uint8_t *d = dst + (size_t)y * dst_stride;
            if (!t.mirror) {
                memcpy(d, s, (size_t)dw);
            } else {
                for (int x = 0; x < dw; x++) {
                    d[x] = s[dw - 1 - x];
                }
            }
        }
        return;
    }
    for (int y0 = 0; y0 < dh; y0 += TILE) {
        for (int x0 = 0; x0 < dw; x0 += TILE) {
            for (int y = y0; y < dh && y < y0 + TILE; y++) {
                const uint8_t *s = src + (t.flip ? dh - 1 - y : y);
                uint8_t *d = dst + (size_t)y * dst_stride;
                for (int x = x0; x < dw && x < x0 + TILE; x++) {
                    d[x] = s[(t.mirror ? dw - 1 - x : x) * stride];
                }
            }
        }
    }
}

void ib_turn_planes(ib_turn t, const uint8_t *const src[4], const int stride[4], int src_width,
                    int src_height, ib_frame *dst) {
    for (int p = 0; p < 3; p++) {
        int w = p ? (src_width + 1) / 2 : src_width, h = p ? (src_height + 1) / 2 : src_height;
        turn_plane(t, src[p], stride[p], w, h, dst->plane[p], dst->stride[p]);
    }
}

void ib_turn_rgb(ib_turn t, const uint8_t *src, ptrdiff_t stride, ib_frame *dst) {
    int w = dst->width, h = dst->height;
    for (int y = 0; y < h; y++) {
        uint8_t *d = dst->rgb + (size_t)y * dst->rgb_stride;
        int line = t.flip ? h - 1 - y : y;
        for (int x = 0; x < w; x++, d += 3) {
            int at = t.mirror ? w - 1 - x : x;
            memcpy(d, t.transpose ? src + at * stride + 3 * line : src + line * stride + 3 * at, 3);
        }
    }
}
