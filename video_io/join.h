/* Inside video_io only: the parts of a clip into one file, without encoding anew, beside what is carried over
 * from a source. */
#ifndef IB_VIDEO_IO_JOIN_H
#define IB_VIDEO_IO_JOIN_H

#include "base/resume.h"
#include "video_io/encode.h"

typedef struct ib_joint {
    const char *name, *file; /* for sentences, and what is written */
    const ib_container *container;
    const AVStream *like; /* what every part's encoder makes */
    const ib_resume *resume;
    const char *ending; /* of the parts' names */
    int64_t parts;      /* 1..parts */
    const ib_carry *carry;
    ib_carried *carried; /* may be NULL, as may carry */
} ib_joint;

/* IB_E_INTERRUPTED if the carry's flag is set on the way. */
int ib_join_parts(const ib_joint *j, ib_error *err);

#endif
