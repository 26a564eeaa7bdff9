/* libFuzzer target: training states under a valid seal, where HDF5 and our own checks are all that is left.
 */
#include <math.h>
#include "fuzz_edits.h"
#include "train/state.h"

const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void) {
    return "leak:libhdf5"; /* loses a few hundred bytes when it refuses some damaged files */
}

enum { ROOM = 1 << 17, PARAMS = 50 };

static size_t good_file(uint8_t *bytes) {
    char folder[] = "/tmp/ib_fuzz_XXXXXX", path[64];
    ib_state s = {.config = {.space_id = "patch:dct8+4:v1",
                             .layout = IB_LAYOUT_GRID,
                             .width = 96,
                             .fine = 48,
                             .coarse = 64,
                             .fine_blocks = 1,
                             .coarse_blocks = 2,
                             .motion = true},
                  .plan = {.preset = "toaster",
                           .optimiser = "adamw",
                           .batch = 16,
                           .rate = 1e-3,
                           .gap_min = 2,
                           .gap_max = 16,
                           .data = "0123"},
                  .steps_total = 30,
                  .step = 12,
                  .samples = 99};
    ib_valid_point point = {1, 2, 0.5};
    if (!mkdtemp(folder) || ib_state_alloc(&s, PARAMS, 2, NULL) || ib_state_add_valid(&s, &point, NULL)) {
        abort();
    }
    snprintf(path, sizeof path, "%s/a.h5", folder);
    if (ib_state_save(&s, path, NULL)) {
        abort();
    }
    ib_state_free(&s);
    size_t n = fuzz_take(path, bytes, ROOM);
    rmdir(folder);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t good[ROOM], bytes[ROOM];
    static size_t good_bytes;
    char path[64];
    ib_state s;
    ib_error err = {0};
    if (!good_bytes) {
        good_bytes = good_file(good);
    }
    memcpy(bytes, good, good_bytes);
    size_t n = fuzz_edit(bytes, good_bytes, data, size);
    int fd = fuzz_file(bytes, n, path);
    ib_seal_write(path, NULL); /* without a place for it the file is refused below */
    if (ib_state_load(&s, path, &err)) {
        if (s.weights || s.valid || err.code >= 0 || !err.text[0]) {
            abort();
        }
    } else {
        float sum = 0; /* all that was read can be read */
        for (size_t i = 0; i < s.params; i++) {
            sum += s.weights[i] + s.ema[i];
        }
        for (int k = 0; k < s.moments; k++) {
            sum += s.moment[k][s.params - 1];
        }
        if (isnan(sum)) {
            abort(); /* weights are finite, and their moments */
        }
        ib_state_free(&s);
    }
    close(fd);
    return 0;
}
