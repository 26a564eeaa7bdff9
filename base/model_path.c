#include "base/model_path.h"

#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/beside.h"
#include "base/file.h"

enum { ROOM = 2 * PATH_MAX, NAME = 97, COMMIT = 64 };

/* The length of one part of a repository's name: letters, digits, "-", "_" and ".", which does not begin it.
 */
static size_t part_length(const char *s) {
    size_t n = 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '-' || s[n] == '_' || (n && s[n] == '.')) {
        n++;
    }
    return n < NAME ? n : 0;
}

static bool cache_folder(char path[ROOM]) {
    const struct {
        const char *variable, *rest;
    } places[] = {{"HF_HUB_CACHE", ""},
                  {"HF_HOME", "/hub"},
                  {"XDG_CACHE_HOME", "/huggingface/hub"},
                  {"HOME", "/.cache/huggingface/hub"}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *v = getenv(places[i].variable);
        if (v && *v) {
            int n = snprintf(path, ROOM, "%s%s", v, places[i].rest);
            return n > 0 && n < ROOM;
        }
    }
    return false;
}

/* What refs/main of a repository's folder names: hexadecimal digits. */
static bool main_commit(const char *folder, char commit[COMMIT + 1]) {
    char path[ROOM];
    int n = snprintf(path, sizeof path, "%s/refs/main", folder);
    FILE *f = n > 0 && n < ROOM ? fopen(path, "re") : NULL;
    size_t got = f ? fread(commit, 1, COMMIT, f) : 0, digits = 0;
    if (f) {
        fclose(f);
    }
    while (digits < got && isxdigit((unsigned char)commit[digits])) {
        digits++;
    }
    commit[digits] = 0;
    return digits;
}

static bool in_cache(const char *name, char found[ROOM]) {
    char folder[ROOM], commit[COMMIT + 1];
    size_t owner = part_length(name),
           repository = owner && name[owner] == '/' ? part_length(name + owner + 1) : 0;
    if (!repository || strstr(name, "..")) {
        return false;
    }
    const char *rest = name + owner + 1 + repository;
    if ((*rest && *rest != '/') || !cache_folder(folder)) {
        return false;
    }
    size_t used = strlen(folder);
    int n = snprintf(folder + used, ROOM - used, "/models--%.*s--%.*s", (int)owner, name, (int)repository,
                     name + owner + 1);
    if (n < 0 || (size_t)n >= ROOM - used || !main_commit(folder, commit)) {
        return false;
    }
    n = snprintf(found, ROOM, "%s/snapshots/%s%s", folder, commit, rest);
    return n > 0 && n < ROOM && !access(found, F_OK);
}

/* A folder that comes with the program. */
static bool comes_along(const char *name, const char *part, char found[ROOM]) {
    ib_error none = {0};
    char *folder;
    if (part_length(name) != strlen(name) || !*name || ib_beside_program(&folder, name, &none)) {
        return false;
    }
    int n = snprintf(found, ROOM, "%s/%s", folder, part ? part : "");
    if (n < 0 || n >= ROOM || !part || access(found, F_OK)) {
        n = snprintf(found, ROOM, "%s", folder);
    }
    free(folder);
    return n > 0 && n < ROOM && ib_is_dir(found);
}

int ib_model_path(char **path, const char *name, const char *part, ib_error *err) {
    char found[ROOM];
    bool other = access(name, F_OK) && (comes_along(name, part, found) || in_cache(name, found));
    *path = strdup(other ? found : name);
    return *path ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for the path of %s", name);
}
