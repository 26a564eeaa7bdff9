/* libFuzzer target: any bytes as a config, a preprocessor config, a tokenizer, a prompt or weights. */
#include <sys/mman.h>
#include <unistd.h>
#include "clip/clip.h"
#include "clip/tokenizer.h"
#include "tests/clip_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ib_tokenizer *small_tokenizer(void) {
    static ib_tokenizer *t;
    char folder[] = "/tmp/ib_fuzz_XXXXXX", command[64];
    if (t) {
        return t;
    }
    if (!mkdtemp(folder)) {
        abort();
    }
    model_write_tokenizer(folder, 0);
    if (ib_tokenizer_open(&t, folder, NULL)) {
        abort();
    }
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command)) {
        abort();
    }
    return t;
}

static void check(int rc, const ib_error *err) {
    if (rc && (rc > 0 || err->code != rc || !err->text[0])) {
        abort();
    }
}

static void prompt(ib_tokenizer *t, const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    int32_t ids[77];
    ib_error err = {0};
    memcpy(text, data, size);
    text[size] = 0;
    int rc = ib_tokenizer_encode(t, text, 77, ids, &err);
    check(rc, &err);
    for (int k = 0; !rc && k < 77; k++) {
        if (ids[k] < 0 || (size_t)ids[k] >= ib_tokenizer_size(t)) {
            abort();
        }
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    ib_error err = {0};
    ib_clip_config config = {0};
    ib_clip_preprocess pre;
    ib_tokenizer *t = NULL;
    ib_clip *c = NULL;
    if (!size) {
        return 0;
    }
    int kind = *data++ % 5, fd = memfd_create("fuzz", 0);
    size--;
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
        abort();
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    switch (kind) {
    case 0:
        check(ib_clip_config_load(&config, path, &err), &err);
        break;
    case 1:
        ib_clip_preprocess_defaults(&pre);
        check(ib_clip_preprocess_load(&pre, path, &err), &err);
        break;
    case 2:
        check(ib_tokenizer_open(&t, path, &err), &err);
        if (t) {
            prompt(t, (const uint8_t *)"a cat's 12", 10);
        }
        ib_tokenizer_close(&t);
        break;
    case 3:
        prompt(small_tokenizer(), data, size);
        break;
    default:
        check(ib_clip_open(&c, path, NULL, &err), &err);
        ib_clip_close(&c);
    }
    close(fd);
    return 0;
}
