/* How a picture or clip says that it was made: the text `parameters` of a PNG, which image generators write,
 * or the comment of a clip. */
#ifndef IB_VIDEO_IO_COMMENT_H
#define IB_VIDEO_IO_COMMENT_H

#include "base/error.h"

enum { IB_COMMENT_MOST = 1 << 20 }; /* bytes; a longer text counts as none */

/* *text: UTF-8 if the file keeps to its format, owned by the caller (free); NULL where the file says nothing.
 * IB_E_IO where it cannot be read. What is no regular file, or
 * cannot be understood, says nothing. */
int ib_comment_read(const char *path, char **text, ib_error *err);

#endif
