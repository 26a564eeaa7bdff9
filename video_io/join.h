/* Inside video_io only: the parts of a clip into one file, without encoding anew, beside what is carried over
 * from a source. */
#ifndef IB_VIDEO_IO_JOIN_H
#define IB_VIDEO_IO_JOIN_H

#include "base/resume.h"
#include "video_io/encode.h"

typedef struct ib_joint {
    const char *name, *file; /* for sentences, and what is written */
    const ib_container *container;
    const ib_writer_options *opt; /* rate, tags, and what is carried */
    const ib_resume *resume;
    const char *ending, *part_format; /* of the parts' names, and FFmpeg's name for what they are */
    int64_t parts;                    /* 1..parts */
} ib_joint;

/* IB_E_INTERRUPTED if the carry's flag is set on the way. */
int ib_join_parts(const ib_joint *j, ib_error *err);

#endif
