/* What must be known before the shared libraries are set up.
 *
 * While it is loaded, OpenBLAS maps a buffer for each thread and, where the address space is limited (ulimit
 * -v), tries again for ever: the program would hang before main. This runs before it, looks whether that much
 * is to be had, and says so if not. It is compiled where there is such a time (.preinit_array of glibc); the
 * sanitizers need it for themselves. */
#include <limits.h> /* brings __GLIBC__ */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include "nn/gemm.h"

enum {
    MOST_THREADS = 64,
    REST = 32 << 20
}; /* OpenBLAS's own bound; what the other libraries take meanwhile */

/* As OpenBLAS counts them at that time. */
static size_t count_threads(char **environment) {
    static const char name[] = "OMP_NUM_THREADS=";
    long n = sysconf(_SC_NPROCESSORS_CONF);
    for (char **e = environment; e && *e; e++) {
        long wanted = strncmp(*e, name, sizeof name - 1) ? 0 : strtol(*e + sizeof name - 1, NULL, 10);
        n = wanted > 0 && wanted < n ? wanted : n;
    }
    return n < 1 ? 1 : n > MOST_THREADS ? MOST_THREADS : (size_t)n;
}

static void look_environment(int argc, char **argv, char **environment) {
    struct rlimit limit;
    (void)argc, (void)argv;
    if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY) {
        return;
    }
    size_t threads = count_threads(environment), bytes = threads * IB_GEMM_BUFFER_BYTES + REST;
    void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p != MAP_FAILED) {
        munmap(p, bytes);
        return;
    }
    char text[320];
    int n = snprintf(
        text, sizeof text,
        "inbetween: the address space is limited to %llu KiB (ulimit -v), and OpenBLAS needs %zu KiB "
        "for %zu thread%s beside what the libraries take; OMP_NUM_THREADS=1 makes that %zu KiB\n",
        (unsigned long long)limit.rlim_cur / 1024, bytes / 1024, threads, threads == 1 ? "" : "s",
        (IB_GEMM_BUFFER_BYTES + REST) / 1024);
    ssize_t written = write(STDERR_FILENO, text, (size_t)n);
    (void)written;
    _exit(1);
}

__attribute__((section(".preinit_array"), used)) static void (*const early)(int, char **,
                                                                            char **) = look_environment;

#else
typedef int ib_nothing_early;
#endif
