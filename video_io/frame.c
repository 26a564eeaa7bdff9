#include "video_io/frame.h"

#include <stdbool.h>
#include <string.h>
#include "base/memory.h"
#include "video_io/av.h"

enum { MAX_SIDE = 16384 };

static int alloc(ib_frame *f, int width, int height, bool rgb, ib_error *err) {
    *f = (ib_frame){0};
    if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE) {
        return ib_fail(err, IB_E_ARGUMENT, "a frame of %d x %d samples: each side must be 1 to %d", width,
                       height, MAX_SIDE);
    }
    size_t luma = ((size_t)width + 63) / 64 * 64, chroma = (((size_t)width + 1) / 2 + 63) / 64 * 64;
    size_t rows = (size_t)height, chroma_rows = (rows + 1) / 2;
    size_t packed = rgb ? ((size_t)width * 3 + 127) / 64 * 64 : 0;
    /* vector code may read past the last row */
    size_t bytes = luma * rows + 2 * chroma * chroma_rows + 64 + packed * rows;
    uint8_t *p = ib_calloc(bytes, 1);
    if (!p) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a frame of %d x %d (%zu bytes)", width, height,
                       bytes);
    }
    f->width = width;
    f->height = height;
    f->matrix = IB_MATRIX_UNSPECIFIED;
    f->plane[0] = p;
    f->plane[1] = p + luma * rows;
    f->plane[2] = f->plane[1] + chroma * chroma_rows;
    f->stride[0] = luma;
    f->stride[1] = f->stride[2] = chroma;
    f->rgb = rgb ? f->plane[2] + chroma * chroma_rows : NULL;
    f->rgb_stride = packed;
    return 0;
}

int ib_frame_alloc(ib_frame *f, int width, int height, ib_error *err) {
    return alloc(f, width, height, false, err);
}

int ib_frame_alloc_rgb(ib_frame *f, int width, int height, ib_error *err) {
    return alloc(f, width, height, true, err);
}

void ib_frame_free(ib_frame *f) {
    if (!f) {
        return;
    }
    ib_free(f->plane[0]);
    *f = (ib_frame){0};
}

static int plane_width(const ib_frame *f, int p) {
    return p ? (f->width + 1) / 2 : f->width;
}

static int plane_height(const ib_frame *f, int p) {
    return p ? (f->height + 1) / 2 : f->height;
}

void ib_frame_copy(ib_frame *dst, const ib_frame *src) {
    for (int p = 0; p < 3; p++) {
        for (int y = 0; y < plane_height(src, p); y++) {
            memcpy(dst->plane[p] + (size_t)y * dst->stride[p], src->plane[p] + (size_t)y * src->stride[p],
                   (size_t)plane_width(src, p));
        }
    }
    if (!src->rgb) {
        dst->rgb = NULL;
    }
    for (int y = 0; dst->rgb && y < src->height; y++) {
        memcpy(dst->rgb + (size_t)y * dst->rgb_stride, src->rgb + (size_t)y * src->rgb_stride,
               (size_t)src->width * 3);
    }
    dst->pts_seconds = src->pts_seconds;
    dst->index = src->index;
    dst->matrix = src->matrix;
}

void ib_frame_fill_black(ib_frame *f) {
    for (int p = 0; p < 3; p++) {
        for (int y = 0; y < plane_height(f, p); y++) {
            memset(f->plane[p] + (size_t)y * f->stride[p], p ? 128 : 16, (size_t)plane_width(f, p));
        }
    }
}

static int convert_frame(const ib_image_spec *from, const uint8_t *const src[4], const int src_stride[4],
                         const ib_image_spec *to, uint8_t *const dst[4], const int dst_stride[4],
                         ib_error *err) {
    ib_scaler s = {0};
    int rc = ib_scaler_set(&s, from, to, err);
    if (!rc) {
        rc = ib_scaler_run(&s, src, src_stride, dst, dst_stride, err);
    }
    ib_scaler_free(&s);
    return rc;
}

int ib_frame_scale(ib_frame *dst, const ib_frame *src, ib_error *err) {
    if (dst->width == src->width && dst->height == src->height) {
        ib_frame_copy(dst, src);
        return 0;
    }
    dst->pts_seconds = src->pts_seconds;
    dst->index = src->index;
    dst->matrix = src->matrix;
    ib_image_spec from = ib_spec_of(src), to = ib_spec_of(dst);
    return convert_frame(&from, (const uint8_t *[4]){src->plane[0], src->plane[1], src->plane[2]},
                         (int[4]){(int)src->stride[0], (int)src->stride[1], (int)src->stride[2]}, &to,
                         (uint8_t *[4]){dst->plane[0], dst->plane[1], dst->plane[2]},
                         (int[4]){(int)dst->stride[0], (int)dst->stride[1], (int)dst->stride[2]}, err);
}

/* swscale may write whole vectors: packed rows without padding go through a padded copy. */
static uint8_t *padded_rgb(int width, int height, size_t *stride, ib_error *err) {
    *stride = ((size_t)width * 3 + 127) / 64 * 64;
    uint8_t *p = ib_calloc((size_t)height + 1, *stride);
    if (!p) {
        ib_fail(err, IB_E_MEMORY, "out of memory for an RGB picture of %d x %d", width, height);
    }
    return p;
}

int ib_frame_to_rgb(const ib_frame *f, uint8_t *rgb, ib_error *err) {
    size_t stride, row = (size_t)f->width * 3;
    uint8_t *p = padded_rgb(f->width, f->height, &stride, err);
    if (!p) {
        return IB_E_MEMORY;
    }
    ib_image_spec from = ib_spec_of(f), to = {f->width, f->height, AV_PIX_FMT_RGB24, true, f->matrix, 0};
    int rc = convert_frame(&from, (const uint8_t *[4]){f->plane[0], f->plane[1], f->plane[2]},
                           (int[4]){(int)f->stride[0], (int)f->stride[1], (int)f->stride[2]}, &to,
                           (uint8_t *[4]){p}, (int[4]){(int)stride}, err);
    for (int y = 0; !rc && y < f->height; y++) {
        memcpy(rgb + (size_t)y * row, p + (size_t)y * stride, row);
    }
    ib_free(p);
    return rc;
}

int ib_frame_from_rgb(ib_frame *f, const uint8_t *rgb, ib_error *err) {
    size_t stride, row = (size_t)f->width * 3;
    uint8_t *p = padded_rgb(f->width, f->height, &stride, err);
    if (!p) {
        return IB_E_MEMORY;
    }
    for (int y = 0; y < f->height; y++) {
        memcpy(p + (size_t)y * stride, rgb + (size_t)y * row, row);
    }
    ib_image_spec from = {f->width, f->height, AV_PIX_FMT_RGB24, true, f->matrix, 0}, to = ib_spec_of(f);
    int rc = convert_frame(&from, (const uint8_t *[4]){p}, (int[4]){(int)stride}, &to,
                           (uint8_t *[4]){f->plane[0], f->plane[1], f->plane[2]},
                           (int[4]){(int)f->stride[0], (int)f->stride[1], (int)f->stride[2]}, err);
    ib_free(p);
    return rc;
}
