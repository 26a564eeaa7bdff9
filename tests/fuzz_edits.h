/* Fuzzing of files inside: an input is a list of edits of a good file. */
#ifndef IB_TESTS_FUZZ_EDITS_H
#define IB_TESTS_FUZZ_EDITS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each edit: two bytes of place, one of length (its low 5 bits), then the bytes. Returns the new length. */
static inline size_t fuzz_edit(uint8_t *bytes, size_t n, const uint8_t *p, size_t size) {
    while (size >= 3) {
        size_t at = (size_t)(p[0] | p[1] << 8) % n, len = p[2] & 31u;
        if (p[2] & 32) {
            n = at ? at : 1; /* cut */
        }
        p += 3;
        size -= 3;
        len = len < size ? len : size;
        for (size_t i = 0; i < len && at + i < n; i++) {
            bytes[at + i] = p[i];
        }
        p += len;
        size -= len;
    }
    return n;
}

/* The file's bytes; it is removed. */
static inline size_t fuzz_take(const char *path, uint8_t *bytes, size_t room) {
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(bytes, 1, room, f) : 0;
    if (!n || n == room) {
        abort();
    }
    fclose(f);
    unlink(path);
    return n;
}

/* A file of these bytes that goes with its descriptor; path: its name meanwhile. */
static inline int fuzz_file(const uint8_t *bytes, size_t n, char path[64]) {
    int fd = memfd_create("fuzz", 0);
    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n) {
        abort();
    }
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

#endif
