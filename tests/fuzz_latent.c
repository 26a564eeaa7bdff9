/* libFuzzer target: latent files. An input with an even first byte is a file as it stands; any other is a
 * list of edits (place, length, bytes) of a good file, so that fuzzing starts inside HDF5 and not at its
 * first four bytes. */
#include <string.h>
#include "fuzz_edits.h"
#include "latent/latent_file.h"

const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void) {
    return "leak:libhdf5"; /* loses a few hundred bytes when it refuses some damaged files */
}

enum { FRAMES = 40, VALUES = 8, ROOM = 1 << 16 };

static size_t good_file(uint8_t bytes[ROOM]) {
    char path[] = "/tmp/ib_fuzz_XXXXXX", name[64];
    ib_latent_info info = {.space_id = "patch:dct8+4:v1",
                           .fps = 25,
                           .every = 1,
                           .frame_width = 8,
                           .frame_height = 8,
                           .source = "clip.mp4"};
    info.shape = (ib_shape){IB_LAYOUT_GRID, 1, 2, 2, VALUES / 2};
    ib_latent_writer *w = NULL;
    float z[VALUES] = {1, 2, 3, 4, 5, 6, 7, 8};
    if (!mkdtemp(path)) {
        abort();
    }
    snprintf(name, sizeof name, "%s/a.h5", path);
    if (ib_latent_writer_create(&w, name, &info, NULL)) {
        abort();
    }
    for (int i = 0; i < FRAMES; i++) {
        ib_latent_writer_append(w, z, i, i % 7 == 0, NULL);
    }
    if (ib_latent_writer_finish(&w, NULL)) {
        abort();
    }
    size_t n = fuzz_take(name, bytes, ROOM);
    rmdir(path);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t good[ROOM], bytes[ROOM];
    static size_t good_bytes;
    char path[64];
    ib_latent_file *f = NULL;
    ib_error err = {0};
    if (!good_bytes) {
        good_bytes = good_file(good);
    }
    if (!size || size > ROOM) {
        return 0;
    }
    size_t n = size - 1;
    if (data[0] & 1) {
        memcpy(bytes, good, good_bytes);
        n = fuzz_edit(bytes, good_bytes, data + 1, size - 1);
    } else {
        memcpy(bytes, data + 1, n);
    }
    int fd = fuzz_file(bytes, n, path);
    if (ib_latent_open(&f, path, &err)) {
        if (f || err.code >= 0 || !err.text[0]) {
            abort();
        }
    } else {
        const ib_latent_info *i = ib_latent_info_of(f);
        size_t per_frame = i->shape.tokens * i->shape.width;
        if (per_frame * 2 * i->frames > n) {
            abort();
        }
        float *z = malloc(per_frame * sizeof *z);
        for (size_t k = 0; z && k < i->frames; k++) {
            ib_latent_read(f, k, 1, z, NULL);
        }
        free(z);
    }
    ib_latent_close(&f);
    close(fd);
    return 0;
}
