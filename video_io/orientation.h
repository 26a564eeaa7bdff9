/* Inside video_io only: what the bytes of a picture file say about how it is to be shown, where FFmpeg does
 * not tell. */
#ifndef IB_VIDEO_IO_ORIENTATION_H
#define IB_VIDEO_IO_ORIENTATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ib_picture_tags {
    int orientation; /* EXIF's, 1..8, of PNG (eXIf), WebP (EXIF) and TIFF (tag 274); 0: the file says nothing
                      */
    bool density;    /* PNG and JPEG: samples per metre, inch or cm are given, not a bare ratio */
    bool animated;   /* WebP: it says that it has several frames */
} ib_picture_tags;

/* data: [size] a picture file from its beginning; it may be cut short, damaged, or anything else. The first
 * orientation counts; one outside 1..8 is none. Looks at one tag of at most 65535 and jumps from chunk to
 * chunk: samples are not read. */
ib_picture_tags ib_picture_tags_of(const uint8_t *data, size_t size);

#endif
