/* Inside video_io only: pictures as PNG, one or a numbered sequence. A sequence appears under its own names
 * only when it is whole; until then it lies in a folder for unfinished work (base/resume.h). */
#ifndef IB_VIDEO_IO_PICTURES_H
#define IB_VIDEO_IO_PICTURES_H

#include <stdint.h>
#include "video_io/writer.h"

/* file: where the bytes go; name: for sentences. rgb: [H,W,3]. parameters: a text of that name in the file;
 * NULL: none. */
int ib_png_write(const char *file, const char *name, const uint8_t *rgb, int width, int height,
                 const char *parameters, ib_error *err);
/* The same, published whole under its name. */
int ib_png_publish(const char *path, const uint8_t *rgb, int width, int height, const char *parameters,
                   ib_error *err);

typedef struct ib_pictures ib_pictures;
/* path: NAME.png, NAME-%04d.png or DIR/. Refuses what would be overwritten, as writer.h says. */
int ib_pictures_open(ib_pictures **out, const char *path, const ib_writer_options *opt, ib_error *err);
int ib_pictures_write(ib_pictures *p, const ib_frame *frame, ib_error *err);
/* Pictures that are there: those written, and those of an earlier run that this one goes on with. */
int64_t ib_pictures_done(const ib_pictures *p);
/* The folder that keeps them if this run ends now; NULL: none does. */
const char *ib_pictures_kept(const ib_pictures *p);
int ib_pictures_finish(ib_pictures *p, ib_error *err);
void ib_pictures_close(
    ib_pictures **p); /* without finish: what is unfinished is dropped, or kept for another run */

#endif
