/* IB_API marks what the shared library shows: every function and object of the installed headers, and nothing else
 * (tools/check_exports.py). All the rest is compiled with hidden visibility. */
#ifndef IB_BASE_API_H
#define IB_BASE_API_H

#if defined(__GNUC__)
#define IB_API __attribute__((visibility("default")))
#else
#define IB_API
#endif

#endif
