/* What the corruption tests share: seeded damage, and a watch on hangs, crashes and large allocations.
 * Include it in one file of a program only: it puts itself before the allocator. */
#ifndef IB_TESTS_CORRUPT_H
#define IB_TESTS_CORRUPT_H

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>
#include "base/rng.h"
#include "tests/check.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CORRUPT_NO_WATCH 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || !defined(__GLIBC__)
#define CORRUPT_NO_WATCH 1
#endif

static atomic_size_t corrupt_largest; /* bytes, of one request */
static volatile sig_atomic_t corrupt_case;

#ifndef CORRUPT_NO_WATCH
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t a, size_t b);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

static inline void corrupt_note(size_t n) {
    size_t most = atomic_load(&corrupt_largest);
    while (n > most && !atomic_compare_exchange_weak(&corrupt_largest, &most, n))
        ;
}

void *malloc(size_t n) {
    corrupt_note(n);
    return __libc_malloc(n);
}

void *calloc(size_t a, size_t b) {
    size_t n;
    corrupt_note(__builtin_mul_overflow(a, b, &n) ? SIZE_MAX : n);
    return __libc_calloc(a, b);
}

void *realloc(void *p, size_t n) {
    corrupt_note(n);
    return __libc_realloc(p, n);
}

int posix_memalign(void **p, size_t alignment, size_t n) {
    corrupt_note(n);
    void *q = __libc_memalign(alignment, n);
    if (!q) {
        return ENOMEM;
    }
    *p = q;
    return 0;
}
#endif

/* HDF5 1.10 loses a few hundred bytes when it refuses some damaged files. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libhdf5";
}

/* Only what is allowed in a signal handler. */
static void corrupt_signal(int sig) {
    char text[] = "case 0000000: killed by signal 00\n";
    int n = corrupt_case;
    for (int i = 11; i >= 5; i--, n /= 10) {
        text[i] = (char)('0' + n % 10);
    }
    text[31] = (char)('0' + sig / 10);
    text[32] = (char)('0' + sig % 10);
    ssize_t r = write(2, text, sizeof text - 1);
    _exit(r < 0 ? 2 : 1);
}

/* Call before every case: names it, restarts the clock. */
static inline void corrupt_begin(int number) {
    if (!corrupt_case) {
        signal(SIGALRM, corrupt_signal);
#ifndef CORRUPT_NO_WATCH
        signal(SIGSEGV, corrupt_signal);
        signal(SIGBUS, corrupt_signal);
        signal(SIGABRT, corrupt_signal);
        signal(SIGFPE, corrupt_signal);
#endif
    }
    corrupt_case = number;
    alarm(20);
}

static inline void corrupt_end(void) {
    alarm(0);
}

/* Damages b in place; *n may shrink, or grow by up to 64. kind is chosen by the number, the
 * rest by chance. */
static inline const char *corrupt_damage(uint8_t *b, size_t *n, int number, ib_rng *r) {
    size_t at = ib_rng_below(r, *n), rest = *n - at, len;
    switch (number % 8) {
    case 0:
        *n = at;
        return "cut short";
    case 1:
        len = 1 + ib_rng_below(r, ib_rng_below(r, 2) ? rest : rest < 64 ? rest : 64);
        memset(b + at, 0, len);
        return "zero-filled";
    case 2:
        b[at] ^= (uint8_t)(1u << ib_rng_below(r, 8));
        return "one bit flipped";
    case 3:
        for (uint64_t k = 1 + ib_rng_below(r, 32); k; k--) {
            b[ib_rng_below(r, *n)] ^= (uint8_t)(1u << ib_rng_below(r, 8));
        }
        return "bits flipped";
    case 4:
        len = rest < 8 ? rest : 8;
        memset(b + at, 0xff, len);
        return "set to ones";
    case 5:
        len = 1 + ib_rng_below(r, rest < 4096 ? rest : 4096);
        memmove(b + at, b + ib_rng_below(r, *n - len + 1), len);
        return "copied over";
    case 6:
        for (size_t i = 0; i < rest && i < 16; i++) {
            b[at + i] = (uint8_t)ib_rng_u64(r);
        }
        return "noise";
    default:
        len = 1 + ib_rng_below(r, 64);
        for (size_t i = 0; i < len; i++) {
            b[*n + i] = (uint8_t)ib_rng_u64(r);
        }
        *n += len;
        return "longer";
    }
}

/* A word in the place of what stands at `at`, to the next comma, bracket or end of a line. b has room for 64
 * bytes more. */
static inline void corrupt_value(uint8_t *b, size_t *n, size_t at, const char *word) {
    size_t end = at, m = strlen(word);
    while (end < *n && !strchr(",]}\n", b[end])) {
        end++;
    }
    if (at >= *n || m > end - at + 64) {
        return;
    }
    memmove(b + at + m, b + end, *n - end);
    memcpy(b + at, word, m);
    *n = *n - (end - at) + m;
}

/* What bits and bytes seldom do to text: other values in place of numbers, words and brackets. b has room for
 * 64 bytes more. */
static inline void corrupt_text(uint8_t *b, size_t *n, ib_rng *r) {
    static const char *const words[] = {"-1",   "1e999",  "99999999999999999999",
                                        "null", "[]",     "{}",
                                        "\"\"", "0",      "\"../x\"",
                                        "true", "[8, 8]", "[0, 8]",
                                        "7",    "0.1",    "1024"};
    const char *word = words[ib_rng_below(r, sizeof words / sizeof *words)];
    size_t at = ib_rng_below(r, *n);
    while (at < *n && b[at] != ':') {
        at++;
    }
    corrupt_value(b, n, at + (at < *n), word);
}

static inline uint8_t *corrupt_load(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END)) {
        return NULL;
    }
    *n = (size_t)ftell(f);
    rewind(f);
    uint8_t *b = malloc(*n + 64);
    if (b && fread(b, 1, *n, f) != *n) {
        free(b);
        b = NULL;
    }
    fclose(f);
    return b;
}

static inline void corrupt_store(const char *path, const uint8_t *b, size_t n) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(b, 1, n, f) != n || fclose(f)) {
        printf("cannot write %s\n", path);
        exit(1);
    }
}

#endif
