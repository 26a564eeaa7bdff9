#include "latent/patch.h"
#include "latent/patch_plane.h"

#include <string.h>
#include "base/multiarch.h"

/* Orthonormal DCT-II matrices: sqrt(2/n) cos((2x+1) k pi / 2n), the first row divided by sqrt 2. Only the
 * left halves: the right ones mirror them, even rows equal, odd rows negated. */
static const float c8[8][4] = {
    {0.353553390593273762f, 0.353553390593273762f, 0.353553390593273762f, 0.353553390593273762f},
    {0.490392640201615225f, 0.415734806151272619f, 0.277785116509801112f, 0.097545161008064134f},
    {0.461939766255643378f, 0.191341716182544886f, -0.191341716182544886f, -0.461939766255643378f},
    {0.415734806151272619f, -0.097545161008064134f, -0.490392640201615225f, -0.277785116509801112f},
    {0.353553390593273762f, -0.353553390593273762f, -0.353553390593273762f, 0.353553390593273762f},
    {0.277785116509801112f, -0.490392640201615225f, 0.097545161008064134f, 0.415734806151272619f},
    {0.191341716182544886f, -0.461939766255643378f, 0.461939766255643378f, -0.191341716182544886f},
    {0.097545161008064134f, -0.277785116509801112f, 0.415734806151272619f, -0.490392640201615225f},
};
static const float c4[4][2] = {
    {0.5f, 0.5f},
    {0.653281482438188264f, 0.270598050073098492f},
    {0.5f, -0.5f},
    {0.270598050073098492f, -0.653281482438188264f},
};

/* One-dimensional transforms down the columns of 8 lanes. */
static IB_INLINE void forward8(float x[8][8], float z[8][8]) {
    for (int y = 0; y < 4; y++) {
        for (int i = 0; i < 8; i++) {
            float a = x[y][i], b = x[7 - y][i];
            x[y][i] = a + b;
            x[7 - y][i] = a - b;
        }
    }
    for (int k = 0; k < 8; k += 2) {
        for (int i = 0; i < 8; i++) {
            z[k][i] = (c8[k][0] * x[0][i] + c8[k][1] * x[1][i]) + (c8[k][2] * x[2][i] + c8[k][3] * x[3][i]);
            z[k + 1][i] = (c8[k + 1][0] * x[7][i] + c8[k + 1][1] * x[6][i]) +
                          (c8[k + 1][2] * x[5][i] + c8[k + 1][3] * x[4][i]);
        }
    }
}

static IB_INLINE void inverse8(float z[8][8], float x[8][8]) {
    for (int y = 0; y < 4; y++) {
        for (int i = 0; i < 8; i++) {
            float e = (c8[0][y] * z[0][i] + c8[2][y] * z[2][i]) + (c8[4][y] * z[4][i] + c8[6][y] * z[6][i]);
            float o = (c8[1][y] * z[1][i] + c8[3][y] * z[3][i]) + (c8[5][y] * z[5][i] + c8[7][y] * z[7][i]);
            x[y][i] = e + o;
            x[7 - y][i] = e - o;
        }
    }
}

static IB_INLINE void forward4(float x[4][8], float z[4][8]) {
    for (int i = 0; i < 8; i++) {
        float a = x[0][i] + x[3][i], b = x[1][i] + x[2][i], c = x[0][i] - x[3][i], d = x[1][i] - x[2][i];
        z[0][i] = c4[0][0] * (a + b);
        z[2][i] = c4[0][0] * (a - b);
        z[1][i] = c4[1][0] * c + c4[1][1] * d;
        z[3][i] = c4[3][0] * c + c4[3][1] * d;
    }
}

static IB_INLINE void inverse4(float z[4][8], float x[4][8]) {
    for (int i = 0; i < 8; i++) {
        float a = c4[0][0] * (z[0][i] + z[2][i]), b = c4[0][0] * (z[0][i] - z[2][i]);
        float c = c4[1][0] * z[1][i] + c4[3][0] * z[3][i], d = c4[1][1] * z[1][i] + c4[3][1] * z[3][i];
        x[0][i] = a + c;
        x[3][i] = a - c;
        x[1][i] = b + d;
        x[2][i] = b - d;
    }
}

static IB_INLINE void transpose8(float a[8][8], float b[8][8]) {
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < 8; j++) {
            b[i][j] = a[j][i];
        }
    }
}

/* Two 4x4 blocks side by side, each within itself. */
static IB_INLINE void transpose4(float a[4][8], float b[4][8]) {
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            b[i][j] = a[j][i];
            b[i][4 + j] = a[j][4 + i];
        }
    }
}

size_t ib_patch_pixels(int rows, int cols) {
    return (size_t)IB_PATCH_D * (size_t)rows * (size_t)cols;
}

IB_MULTIARCH_EXACT void ib_patch_forward(const float *planes, int rows, int cols, float *z) {
    size_t n = (size_t)rows * (size_t)cols, wy = 8 * (size_t)cols, wc = 4 * (size_t)cols;
    const float *py = planes, *pu = planes + 64 * n, *pv = planes + 80 * n;
    float a[8][8], b[8][8], c[4][8], d[4][8];
    for (size_t r = 0; r < (size_t)rows; r++) {
        for (size_t q = 0; q < (size_t)cols; q++, z += IB_PATCH_D) {
            for (size_t y = 0; y < 8; y++) {
                memcpy(a[y], py + (8 * r + y) * wy + 8 * q, sizeof a[y]);
            }
            forward8(a, b);
            transpose8(b, a);
            forward8(a, b);
            transpose8(b, a);
            memcpy(z, a, sizeof a);
            for (size_t y = 0; y < 4; y++) {
                memcpy(c[y], pu + (4 * r + y) * wc + 4 * q, 16);
                memcpy(c[y] + 4, pv + (4 * r + y) * wc + 4 * q, 16);
            }
            forward4(c, d);
            transpose4(d, c);
            forward4(c, d);
            transpose4(d, c);
            for (size_t y = 0; y < 4; y++) {
                memcpy(z + 64 + 4 * y, c[y], 16);
                memcpy(z + 80 + 4 * y, c[y] + 4, 16);
            }
        }
    }
}

IB_MULTIARCH_EXACT void ib_patch_inverse(const float *z, int rows, int cols, float *planes) {
    size_t n = (size_t)rows * (size_t)cols, wy = 8 * (size_t)cols, wc = 4 * (size_t)cols;
    float *py = planes, *pu = planes + 64 * n, *pv = planes + 80 * n;
    float a[8][8], b[8][8], c[4][8], d[4][8];
    for (size_t r = 0; r < (size_t)rows; r++) {
        for (size_t q = 0; q < (size_t)cols; q++, z += IB_PATCH_D) {
            memcpy(a, z, sizeof a);
            inverse8(a, b);
            transpose8(b, a);
            inverse8(a, b);
            transpose8(b, a);
            for (size_t y = 0; y < 8; y++) {
                memcpy(py + (8 * r + y) * wy + 8 * q, a[y], sizeof a[y]);
            }
            for (size_t y = 0; y < 4; y++) {
                memcpy(c[y], z + 64 + 4 * y, 16);
                memcpy(c[y] + 4, z + 80 + 4 * y, 16);
            }
            inverse4(c, d);
            transpose4(d, c);
            inverse4(c, d);
            transpose4(d, c);
            for (size_t y = 0; y < 4; y++) {
                memcpy(pu + (4 * r + y) * wc + 4 * q, c[y], 16);
                memcpy(pv + (4 * r + y) * wc + 4 * q, c[y] + 4, 16);
            }
        }
    }
}

IB_MULTIARCH_EXACT static void widen_row(const uint8_t *in, size_t n, float black, float range, float *out) {
    for (size_t i = 0; i < n; i++) {
        out[i] = ((float)in[i] - black) * (1 / range);
    }
}

IB_MULTIARCH_EXACT static void narrow_row(const float *in, size_t n, float black, float range, uint8_t *out) {
    for (size_t i = 0; i < n; i++) {
        float v = in[i] * range + (black + 0.5f);
        v = v > 0 ? v : 0; /* NaN becomes 0 */
        v = v < 255 ? v : 255;
        out[i] = (uint8_t)(int)v;
    }
}

typedef struct plane_geometry {
    size_t width, height;             /* of the float plane */
    size_t frame_width, frame_height; /* of the frame's plane, not larger */
    float black, range;
} plane_geometry;

static plane_geometry geometry_of(const ib_frame *f, int rows, int cols, int k) {
    plane_geometry g;
    size_t unit = k ? IB_PATCH_CHROMA : IB_PATCH_LUMA;
    g.width = unit * (size_t)cols;
    g.height = unit * (size_t)rows;
    g.frame_width = k ? ((size_t)f->width + 1) / 2 : (size_t)f->width;
    g.frame_height = k ? ((size_t)f->height + 1) / 2 : (size_t)f->height;
    if (g.frame_width > g.width) {
        g.frame_width = g.width;
    }
    if (g.frame_height > g.height) {
        g.frame_height = g.height;
    }
    g.black = ib_patch_black(k);
    g.range = ib_patch_range(k);
    return g;
}

void ib_patch_load(const uint8_t *samples, int k, size_t n, float *out) {
    widen_row(samples, n, ib_patch_black(k), ib_patch_range(k), out);
}

void ib_patch_store(const float *values, int k, size_t n, uint8_t *out) {
    narrow_row(values, n, ib_patch_black(k), ib_patch_range(k), out);
}

void ib_patch_plane(const ib_frame *frame, int k, size_t height, size_t width, float *out) {
    size_t h = k ? ((size_t)frame->height + 1) / 2 : (size_t)frame->height,
           w = k ? ((size_t)frame->width + 1) / 2 : (size_t)frame->width;
    h = h < height ? h : height;
    w = w < width ? w : width;
    for (size_t y = 0; y < height; y++, out += width) {
        if (y >= h) {
            memcpy(out, out - width, width * sizeof *out);
            continue;
        }
        widen_row(frame->plane[k] + y * frame->stride[k], w, ib_patch_black(k), ib_patch_range(k), out);
        for (size_t x = w; x < width; x++) {
            out[x] = out[w - 1];
        }
    }
}

void ib_patch_from_frame(const ib_frame *frame, int rows, int cols, float *planes) {
    for (int k = 0; k < 3; k++) {
        size_t unit = k ? IB_PATCH_CHROMA : IB_PATCH_LUMA, h = unit * (size_t)rows, w = unit * (size_t)cols;
        ib_patch_plane(frame, k, h, w, planes);
        planes += h * w;
    }
}

void ib_patch_to_frame(const float *planes, int rows, int cols, ib_frame *frame) {
    const float *p = planes;
    for (int k = 0; k < 3; k++) {
        plane_geometry g = geometry_of(frame, rows, cols, k);
        for (size_t y = 0; y < g.frame_height; y++) {
            narrow_row(p + y * g.width, g.frame_width, g.black, g.range,
                       frame->plane[k] + y * frame->stride[k]);
        }
        p += g.width * g.height;
    }
}
