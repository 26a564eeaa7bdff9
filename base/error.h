/* Errors are values: every function of the library that can fail returns 0 or one of the negative codes
 * below and fills an ib_error with one whole sentence that names the file or argument, what was expected and
 * what was found. Library code never prints (but see ib_ffmpeg_quiet), exits or aborts. */
#ifndef IB_BASE_ERROR_H
#define IB_BASE_ERROR_H

#include "base/api.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    IB_OK = 0,
    IB_E_IO = -1,          /* the operating system refused: missing file, no permission, full disk */
    IB_E_FORMAT = -2,      /* a file is damaged or of another kind */
    IB_E_MISMATCH = -3,    /* two good things that do not fit together: spaces, sizes, architectures */
    IB_E_ARGUMENT = -4,    /* a value outside its documented range */
    IB_E_MEMORY = -5,      /* out of memory, or a size that does not fit in size_t */
    IB_E_EMPTY = -6,       /* nothing to work on: no frames, no windows, an empty directory */
    IB_E_NONFINITE = -7,   /* NaN or infinity where a number was needed */
    IB_E_UNSUPPORTED = -8, /* valid, but this build or this version cannot do it */
    IB_E_INTERRUPTED = -9  /* the caller's stop flag was seen; what is done is kept */
};

typedef struct ib_error {
    int code;        /* 0 or one of IB_E_*; */
    char text[1024]; /* one sentence without a final newline; empty while code is 0 */
} ib_error;

/* Fills *err (which may be NULL) with code and the formatted sentence, and returns code, so that
 * `return ib_fail(err, IB_E_IO, "...")` is the usual form. An error already set is overwritten. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
IB_API int
ib_fail(ib_error *err, int code, const char *fmt, ...);

/* Puts "prefix: " before the sentence of an error already set; for callers that know the file's name when
 * the callee did not. Returns the code that is passed, the callee's; err may be NULL. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
IB_API int
ib_error_prefix(ib_error *err, int code, const char *fmt, ...);

#ifdef __cplusplus
}
#endif
#endif
