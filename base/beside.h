/* Files and folders that come with the program: installed in share/inbetween, in the build tree in its
 * share/inbetween. Not installed. */
#ifndef IB_BASE_BESIDE_H
#define IB_BASE_BESIDE_H

#include "base/error.h"

/* The path of such a file or folder, malloc'ed. Looked for in $INBETWEEN_SHARE if that is set, and nowhere
 * else then; else in share/inbetween beside the program and one folder up, then beside the library that this
 * code is part of and up to two folders up (lib/TRIPLET). IB_E_IO if it is nowhere, naming the last place. */
int ib_beside_program(char **path, const char *name, ib_error *err);

#endif
