#include "base/seal.h"
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEX = 2 * SHA256_DIGEST_SIZE };

typedef struct mapping {
    int fd;
    size_t size;
    const uint8_t *bytes;
} mapping;

static void unmap(mapping *m) {
    if (m->bytes) {
        munmap((void *)m->bytes, m->size);
    }
    if (m->fd >= 0) {
        close(m->fd);
    }
    *m = (mapping){.fd = -1};
}

static int map(mapping *m, const char *path, bool write, ib_error *err) {
    struct stat st;
    *m = (mapping){.fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK)};
    if (m->fd < 0 || fstat(m->fd, &st)) {
        int e = errno;
        unmap(m);
        return ib_fail(err, IB_E_IO, "%s: cannot be opened: %s", path, strerror(e));
    }
    if (!S_ISREG(st.st_mode) || st.st_size <= 0) {
        unmap(m);
        return ib_fail(err, IB_E_FORMAT, "%s: %s, expected a sealed file", path,
                       S_ISREG(st.st_mode) ? "empty" : "no regular file");
    }
    m->size = (size_t)st.st_size;
    void *p = mmap(NULL, m->size, PROT_READ, MAP_SHARED, m->fd, 0);
    if (p == MAP_FAILED) {
        int e = errno;
        unmap(m);
        return ib_fail(err, IB_E_IO, "%s: cannot be read: %s", path, strerror(e));
    }
    m->bytes = p;
    return IB_OK;
}

/* NULL if there is no seal. */
static const uint8_t *place_of(const mapping *m) {
    const size_t mark = sizeof IB_SEAL_MARK - 1;
    const uint8_t *p = memmem(m->bytes, m->size, IB_SEAL_MARK, mark);
    return p && m->size - (size_t)(p - m->bytes) >= mark + HEX ? p + mark : NULL;
}

static void digest_of(const mapping *m, const uint8_t *place, char hex[HEX + 1]) {
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[SHA256_DIGEST_SIZE], zeros[HEX];
    struct sha256_ctx ctx;
    size_t before = (size_t)(place - m->bytes);
    memset(zeros, '0', sizeof zeros);
    sha256_init(&ctx);
    sha256_update(&ctx, before, m->bytes);
    sha256_update(&ctx, HEX, zeros);
    sha256_update(&ctx, m->size - before - HEX, place + HEX);
    sha256_digest(&ctx, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[HEX] = 0;
}

static int no_seal(const char *path, ib_error *err) {
    return ib_fail(err, IB_E_FORMAT, "%s: of another kind, or damaged: its checksum is not there", path);
}

int ib_seal_write(const char *path, ib_error *err) {
    mapping m;
    char hex[HEX + 1];
    int rc = map(&m, path, true, err);
    if (rc) {
        return rc;
    }
    const uint8_t *place = place_of(&m);
    if (!place) {
        unmap(&m);
        return no_seal(path, err);
    }
    digest_of(&m, place, hex);
    ssize_t n = pwrite(m.fd, hex, HEX, place - m.bytes);
    int e = n < 0 ? errno : EIO;
    unmap(&m);
    return n == HEX ? IB_OK : ib_fail(err, IB_E_IO, "%s: cannot be written: %s", path, strerror(e));
}

static int check_seal(const mapping *m, const char *path, ib_error *err) {
    char hex[HEX + 1];
    const uint8_t *place = place_of(m);
    if (!place) {
        return no_seal(path, err);
    }
    digest_of(m, place, hex);
    return memcmp(place, hex, HEX)
               ? ib_fail(err, IB_E_FORMAT, "%s: damaged: its SHA-256 is not the one that is written in it",
                         path)
               : IB_OK;
}

int ib_seal_check(const char *path, ib_error *err) {
    mapping m;
    int rc = map(&m, path, false, err);
    rc = rc ? rc : check_seal(&m, path, err);
    unmap(&m);
    return rc;
}

int ib_seal_check_bytes(const void *bytes, size_t size, const char *path, ib_error *err) {
    return check_seal(&(mapping){-1, size, bytes}, path, err);
}
