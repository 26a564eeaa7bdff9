/* libFuzzer target: any bytes as a safetensors file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The header's length is put right in front of odd-numbered inputs, so that most of them reach the parser. */
static int as_file(const uint8_t *data, size_t size) {
    int fd = memfd_create("fuzz", 0);
    uint8_t length[8] = {0};
    if (fd < 0 || !size) {
        return fd;
    }
    data++;
    size--;
    if (data[-1] & 1) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t n = end ? (size_t)(end - data) : size;
        for (int i = 0; i < 8; i++) {
            length[i] = (uint8_t)((uint64_t)n >> 8 * i);
        }
        if (write(fd, length, 8) != 8) {
            abort();
        }
    }
    if (write(fd, data, size) != (ssize_t)size) {
        abort();
    }
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    ib_st *f = NULL;
    ib_error err = {0};
    int fd = as_file(data, size);
    if (fd < 0) {
        return 0;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (ib_st_open(&f, path, &err)) {
        if (f || err.code >= 0 || !err.text[0]) {
            abort();
        }
    } else {
        for (size_t i = 0; i < ib_st_count(f); i++) {
            const ib_st_tensor *t = ib_st_at(f, i);
            float *x = malloc(t->elements * sizeof *x + 1);
            if (t->bytes > size || ib_st_find(f, t->name) != t || !x) {
                abort();
            }
            ib_st_to_f32(t, x, NULL);
            free(x);
        }
        for (size_t i = 0; i < ib_st_metadata_count(f); i++) {
            const char *key, *value;
            ib_st_metadata_at(f, i, &key, &value);
            if (ib_st_metadata(f, key) != value) {
                abort();
            }
        }
    }
    ib_st_close(&f);
    close(fd);
    return 0;
}
