/* IB_API marks what the shared library shows: every function and object of the installed headers, and nothing
 * else (tools/check_exports.py). All the rest is compiled with hidden visibility.
 *
 * What the library does to the process that it runs in:
 * - OpenMP: functions that compute change the calling thread's number of threads while they run, and put it
 * back.
 * - OpenBLAS: while ib_train runs, it has one thread in the whole process. Which kernels it takes is decided
 * when it is loaded (OPENBLAS_CORETYPE); the library does not touch that.
 * - HDF5: on first use H5dont_atexit. What a thread does with HDF5's errors is changed within calls and put
 * back. HDF5 is called under one lock of the library; a program that calls HDF5 itself must not do so at the
 * same time, unless HDF5 was built for threads.
 * - FFmpeg: nothing. It writes remarks to stderr unless ib_ffmpeg_quiet is called.
 * - MPI: only where ib_train is to use it. If the program has not initialised it, ib_train does, and
 * finalises it when the process exits.
 * - Signals, locale, environment: nothing. LC_NUMERIC has to be "C" (as in a program that calls no
 * setlocale), and a limit of file sizes (ulimit -f) is an error only where SIGXFSZ is ignored. */
#ifndef IB_BASE_API_H
#define IB_BASE_API_H

#if defined(__GNUC__)
#define IB_API __attribute__((visibility("default")))
#else
#define IB_API
#endif

#endif
