/* ib_frame_hash VIDEO: for each frame a line with its difference hash, 16 hex digits (8 x 8 signs of luma's
 * change from left to right, of the frame made 9 x 8), that of its mirror image, and the mean size of the
 * changes in 8-bit steps. Frames of one recording stay near each other, in bits that differ, through scaling
 * and coding. */
#include <inttypes.h>
#include <stdio.h>
#include "video_io/reader.h"

enum { ACROSS = 9, DOWN = 8, SCALE = 8 };

/* Means over blocks of a frame of SCALE times that size. */
static void shrink(const ib_frame *f, int small[DOWN][ACROSS]) {
    for (int y = 0; y < DOWN; y++) {
        for (int x = 0; x < ACROSS; x++) {
            small[y][x] = 0;
            for (int i = 0; i < SCALE * SCALE; i++) {
                small[y][x] += f->plane[0][(size_t)(y * SCALE + i / SCALE) * f->stride[0] +
                                           (size_t)(x * SCALE + i % SCALE)];
            }
        }
    }
}

static void print_hash(const ib_frame *f) {
    int small[DOWN][ACROSS];
    uint64_t hash = 0, mirror = 0;
    double change = 0;
    shrink(f, small);
    for (int y = 0; y < DOWN; y++) {
        for (int x = 0; x < ACROSS - 1; x++) {
            int d = small[y][x + 1] - small[y][x], m = small[y][ACROSS - 2 - x] - small[y][ACROSS - 1 - x];
            hash = hash << 1 | (d > 0);
            mirror = mirror << 1 | (m > 0);
            change += d < 0 ? -d : d;
        }
    }
    printf("%016" PRIx64 " %016" PRIx64 " %.2f\n", hash, mirror,
           change / (DOWN * (ACROSS - 1) * SCALE * SCALE));
}

int main(int argc, char **argv) {
    ib_reader_options how = {.width = ACROSS * SCALE, .height = DOWN * SCALE, .fit = IB_FIT_SQUASH};
    ib_reader *r = NULL;
    const ib_frame *frame;
    ib_error err = {0};
    int rc;
    ib_ffmpeg_quiet();
    if (argc != 2) {
        fputs("Usage: ib_frame_hash VIDEO\n", stderr);
        return 2;
    }
    if ((rc = ib_reader_open(&r, argv[1], &how, &err))) {
        fprintf(stderr, "ib_frame_hash: %s\n", err.text);
        return 1;
    }
    while ((rc = ib_reader_next(r, &frame, &err)) == 1) {
        print_hash(frame);
    }
    if (rc < 0) {
        fprintf(stderr, "ib_frame_hash: %s\n", err.text);
    }
    ib_reader_close(&r);
    return rc < 0;
}
