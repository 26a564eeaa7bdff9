#include "cli/result_names.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "latent/latent_file.h"

enum { LONGEST = 2 }; /* rank of the longest name */

static char *result_path(const char *dir, const char *input, int rank) {
    const char *name = ib_basename(input), *dot = strrchr(name, '.');
    const char *folder = name, *slash = dir[0] && dir[strlen(dir) - 1] == '/' ? "" : "/";
    char *out = NULL;
    int n = (int)strlen(name), folder_n = 0;
    if (rank == 0 && dot && dot > name) {
        n = (int)(dot - name);
    }
    if (rank == LONGEST && name > input) {
        const char *end = name - 1;
        for (folder = end; folder > input && folder[-1] != '/';) {
            folder--;
        }
        folder_n = (int)(end - folder);
    }
    if (asprintf(&out, "%s%s%.*s%s%.*s.h5", dir, slash, folder_n, folder, folder_n ? "-" : "", n, name) < 0) {
        return NULL;
    }
    return out;
}

/* -1: memory is out. */
static int first_rank(const char *dir, const char *input) {
    for (int rank = LONGEST; rank >= 0; rank--) {
        char *path = result_path(dir, input, rank);
        ib_latent_file *f = NULL;
        if (!path) {
            return -1;
        }
        bool there = ib_is_file(path), other = false;
        if (there && !ib_latent_open(&f, path, NULL)) {
            other = strcmp(ib_latent_info_of(f)->source, ib_basename(input)) != 0;
            ib_latent_close(&f);
        }
        free(path);
        if (there) {
            return other && rank < LONGEST ? rank + 1 : rank;
        }
    }
    return 0;
}

typedef struct named {
    char *path;
    size_t input;
} named;

static int by_path(const void *a, const void *b) {
    return strcmp(((const named *)a)->path, ((const named *)b)->path);
}

/* 1: some names were shared and have got longer; 0: all differ; < 0: error. v: sorted. */
static int part_shared(const named *v, size_t n, int *rank, const char *const *input, ib_error *err) {
    int changed = 0;
    for (size_t i = 0, k; i < n; i = k) {
        for (k = i + 1; k < n && !strcmp(v[k].path, v[i].path);) {
            k++;
        }
        int longest = 0;
        for (size_t j = i; j < k && k - i > 1; j++) {
            longest += rank[v[j].input] == LONGEST;
            rank[v[j].input] += rank[v[j].input] < LONGEST;
            changed = 1;
        }
        if (k - i > 1 && longest == (int)(k - i)) {
            return ib_fail(err, IB_E_ARGUMENT,
                           "%s and %s would both become %s; encode them into different directories",
                           input[v[i].input], input[v[i + 1].input], v[i].path);
        }
    }
    return changed;
}

int cli_result_names(const char *const *input, size_t n, const char *dir, char **output, ib_error *err) {
    named *v = calloc(n, sizeof *v);
    int *rank = calloc(n, sizeof *rank), code = v && rank ? 1 : IB_E_MEMORY;
    for (size_t i = 0; code > 0 && i < n; i++) {
        rank[i] = first_rank(dir, input[i]);
        code = rank[i] < 0 ? IB_E_MEMORY : 1;
    }
    while (code > 0) {
        for (size_t i = 0; i < n; i++) {
            free(v[i].path);
            v[i] = (named){result_path(dir, input[i], rank[i]), i};
            code = v[i].path ? code : IB_E_MEMORY;
        }
        if (code > 0) {
            qsort(v, n, sizeof *v, by_path);
            code = part_shared(v, n, rank, input, err);
        }
    }
    for (size_t i = 0; v && i < n; i++) {
        if (!code) {
            output[v[i].input] = v[i].path;
        } else {
            free(v[i].path);
        }
    }
    free(v);
    free(rank);
    return code == IB_E_MEMORY ? ib_fail(err, code, "out of memory for the names of %zu files", n) : code;
}
