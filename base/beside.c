#include "base/beside.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = PATH_MAX + 64 };

/* The file or folder in the folder of `binary`, or up to `most` folders above it. */
static bool look(const char *binary, int most, const char *name, char path[ROOM]) {
    char folder[PATH_MAX];
    if (!realpath(binary, folder)) {
        return false;
    }
    for (int up = 0; up <= most; up++) {
        char *slash = strrchr(folder, '/');
        if (!slash) {
            return false;
        }
        *slash = 0;
        int n = snprintf(path, ROOM, "%s/share/inbetween/%s", folder, name);
        if (n > 0 && n < ROOM && !access(path, F_OK)) {
            return true;
        }
    }
    return false;
}

/* Of a program without shared libraries that is the program itself, by the name it was called by. */
static const char *library(void) {
    static const char here;
    Dl_info info;
    return dladdr(&here, &info) && info.dli_fname && info.dli_fname[0] == '/' ? info.dli_fname : "";
}

int ib_beside_program(char **path, const char *name, ib_error *err) {
    const char *own = getenv("INBETWEEN_SHARE");
    char place[ROOM];
    bool found;
    *path = NULL;
    if (own && *own) {
        int n = snprintf(place, ROOM, "%s/%s", own, name);
        found = n > 0 && n < ROOM && !access(place, F_OK);
    } else {
        snprintf(place, ROOM, "share/inbetween/%s", name); /* for the sentence */
        found = look("/proc/self/exe", 1, name, place) || look(library(), 2, name, place);
    }
    if (!found) {
        return ib_fail(err, IB_E_IO, "%s: is not there, though it comes with the program", place);
    }
    *path = strdup(place);
    return *path ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for the path of %s", name);
}
