/* atomic_int for C and for C++: the type of the flags by which a caller asks long functions to end
 * (IB_E_INTERRUPTED). */
#ifndef IB_BASE_STOP_H
#define IB_BASE_STOP_H

#ifdef __cplusplus
#include <atomic>
using std::atomic_int;
#else
#include <stdatomic.h>
#endif

#endif
