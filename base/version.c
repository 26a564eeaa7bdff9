#include "base/version.h"

const char *ib_version(void) {
    return IB_VERSION;
}
