/* libFuzzer target: judge.safetensors. An input is a list of edits of a good file (fuzz_edits.h): it is
 * refused in a sentence, or scores are finite. */
#include <math.h>
#include "base/memory.h"
#include "fuzz_edits.h"
#include "search/judge.h"

enum { ROOM = 1 << 18, ROWS = 3 };

static uint8_t good[ROOM];
static size_t good_bytes;

static void good_file(void) {
    char path[] = "/tmp/ib_fuzz_XXXXXX";
    ib_search_judge *j = ib_calloc(1, sizeof *j);
    ib_error err = {0};
    int fd = mkstemp(path);
    if (!j || fd < 0) {
        abort();
    }
    close(fd);
    snprintf(j->space_id, sizeof j->space_id, "clip:tiny:image");
    snprintf(j->kind, sizeof j->kind, "both");
    j->temperature = 0.5f;
    for (size_t i = 0; i < IB_JUDGE_PARAMS; i++) {
        j->params[i] = (float)(i % 17) / 64;
    }
    if (ib_search_judge_save(j, path, &err)) {
        printf("%s\n", err.text);
        abort();
    }
    ib_search_judge_free(&j);
    good_bytes = fuzz_take(path, good, ROOM);
}

static void use(const ib_search_judge *j) {
    float x[ROWS * IB_JUDGE_INPUTS], score[ROWS],
        *scratch = ib_calloc(ib_judge_scratch(ROWS), sizeof *scratch);
    if (!scratch) {
        abort();
    }
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
        x[i] = (float)(i % 5) - 2;
    }
    ib_judge_score(j, x, ROWS, scratch, score);
    for (size_t r = 0; r < ROWS; r++) {
        if (!isfinite(score[r])) {
            abort();
        }
    }
    ib_free(scratch);
    if (!(j->temperature > 0) || !memchr(j->space_id, 0, sizeof j->space_id)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t bytes[ROOM];
    char path[64];
    ib_search_judge *j = NULL;
    ib_error err = {0};
    if (!good_bytes) {
        good_file();
    }
    memcpy(bytes, good, good_bytes);
    int fd = fuzz_file(bytes, fuzz_edit(bytes, good_bytes, data, size), path);
    if (ib_search_judge_open(&j, path, &err)) {
        if (j || err.code >= 0 || !err.text[0]) {
            abort();
        }
    } else {
        use(j);
    }
    ib_search_judge_free(&j);
    close(fd);
    return 0;
}
