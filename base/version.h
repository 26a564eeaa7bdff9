/* Which version of the library this is. The one place where the number is written: CMakeLists.txt reads it
 * from here. */
#ifndef IB_BASE_VERSION_H
#define IB_BASE_VERSION_H

#include "base/api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of these headers. While MAJOR is 0, every MINOR may break programs that were built with another, and has
 * its own name of the shared library. */
#define IB_VERSION_MAJOR 0
#define IB_VERSION_MINOR 1
#define IB_VERSION_PATCH 0

/* Of the library that runs: "MAJOR.MINOR.PATCH". */
IB_API const char *ib_version(void);

#ifdef __cplusplus
}
#endif
#endif
