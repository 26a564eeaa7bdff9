/* Film strips: rows of frames under each other, to look at. */
#ifndef IB_VIDEO_IO_STRIP_H
#define IB_VIDEO_IO_STRIP_H

#include "video_io/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One PNG of rows x cols frames, all of one size, with thin gaps between them; frames are row by row, a NULL
 * one leaves its place empty. labels: one short ASCII text per row, shown above it (NULL: none at all, or
 * none for that row). Larger frames are shrunk so that the picture is at most 4096 samples wide and 16384
 * high. IB_E_ARGUMENT without any frame, IB_E_MISMATCH if sizes differ; published whole. */
int ib_strip_write(const char *path, const ib_frame *const *frames, /* [rows * cols] */
                   int rows, int cols, const char *const *labels /* [rows] */, ib_error *err);

/* Draws a text (printable ASCII, others as '?') into luma and chroma, white on a dark box, its top left
 * corner at x, y; scale: size of a font dot in samples, >= 1; a character cell is 6 x 9 dots. What does not
 * fit is cut off. */
void ib_draw_text(ib_frame *f, int x, int y, int scale, const char *text);

/* Copies src into dst at even x, y, where it fits. */
void ib_frame_paste(ib_frame *dst, int x, int y, const ib_frame *src);

#ifdef __cplusplus
}
#endif
#endif
