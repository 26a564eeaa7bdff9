/* Inside video_io only: a clip that is made in segments of so many frames, each encoded apart as a closed
 * group of pictures and kept in a folder for unfinished work (base/resume.h), and put together at the end. */
#ifndef IB_VIDEO_IO_SEGMENTS_H
#define IB_VIDEO_IO_SEGMENTS_H

#include <stdint.h>
#include "video_io/encode.h"
#include "video_io/writer.h"

typedef struct ib_segments ib_segments;
/* opt: as of a writer, with segment_frames. */
int ib_segments_open(ib_segments **out, const char *path, const ib_container *container,
                     const ib_writer_options *opt, ib_error *err);
int ib_segments_write(ib_segments *s, const ib_frame *frame, ib_error *err);
/* Frames that are there, those of an earlier run among them. */
int64_t ib_segments_done(const ib_segments *s);
/* The folder that keeps what is done if this run ends now; NULL: there is nothing to keep. */
const char *ib_segments_kept(const ib_segments *s);
int ib_segments_finish(ib_segments *s, ib_error *err);
/* Without finish: whole segments are kept for another run. */
void ib_segments_close(ib_segments **s);

#endif
