#include "pool/guide.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "adapter/pixel_model.h"
#include "base/file.h"

/* The id that guides made with a file have. */
static int id_of_file(const char *path, char id[160], ib_error *err) {
    char sha256[65];
    int rc = ib_sha256_file(path, sha256, err);
    if (!rc) {
        snprintf(id, 160, "sha256:%s %.80s", sha256, ib_basename(path));
    }
    return rc;
}

/* Whole, and an adapter. */
static int check_whole(const char *path, ib_error *err) {
    ib_adapter *a = NULL;
    int rc = ib_adapter_open(&a, path, err);
    ib_adapter_free(&a);
    return rc;
}

static int check_copy(const char *path, const char *model, ib_error *err) {
    char id[160];
    int rc = check_whole(path, err);
    rc = rc ? rc : id_of_file(path, id, err);
    if (rc || ib_pixel_model_same(id, model)) {
        return rc;
    }
    return ib_fail(err, IB_E_MISMATCH,
                   "%s: the pool's pixel model is %s, but the guides are of %s: encode with --guide %s", path,
                   ib_pixel_model_name(id).text, ib_pixel_model_name(model).text, path);
}

int ib_pool_guide_check(const char *dir, const char *model, bool *there, ib_error *err) {
    char *path = ib_join(dir, IB_POOL_GUIDE);
    if (!path) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the names in %s", dir);
    }
    *there = ib_is_file(path);
    int rc = *there ? check_copy(path, model, err) : IB_OK;
    free(path);
    return rc;
}

static int copy_bytes(FILE *in, const char *from, FILE *out, const char *to, ib_error *err) {
    char piece[1 << 14];
    for (size_t n; (n = fread(piece, 1, sizeof piece, in));) {
        if (fwrite(piece, 1, n, out) != n) {
            return ib_fail(err, IB_E_IO, "%s: cannot be written: %s", to, strerror(errno));
        }
    }
    return ferror(in) ? ib_fail(err, IB_E_IO, "%s: cannot be read: %s", from, strerror(errno)) : IB_OK;
}

static int copy_file(const char *from, const char *to, ib_error *err) {
    ib_pending p = {0};
    int rc = ib_pending_begin(&p, to, err);
    FILE *in = rc ? NULL : fopen(from, "rbe"), *out = rc ? NULL : fopen(p.temp, "wbe");
    if (!rc && !in) {
        rc = ib_fail(err, IB_E_IO, "%s: cannot be read: %s", from, strerror(errno));
    }
    if (!rc && !out) {
        rc = ib_fail(err, IB_E_IO, "%s: cannot be written: %s", to, strerror(errno));
    }
    rc = rc ? rc : copy_bytes(in, from, out, to, err);
    if (in) {
        fclose(in);
    }
    if (out && fclose(out) && !rc) {
        rc = ib_fail(err, IB_E_IO, "%s: cannot be written: %s", to, strerror(errno));
    }
    rc = rc ? rc : ib_pending_publish(&p, err);
    ib_pending_abort(&p);
    return rc;
}

int ib_pool_guide_share(const char *dir, const char *file, ib_error *err) {
    char id[160], *path = ib_join(dir, IB_POOL_GUIDE);
    if (!path) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the names in %s", dir);
    }
    int rc = check_whole(file, err);
    rc = rc ? rc : id_of_file(file, id, err);
    bool there = !rc && ib_is_file(path);
    if (there) {
        char other[160];
        rc = check_whole(path, err);
        rc = rc ? rc : id_of_file(path, other, err);
        if (!rc && !ib_pixel_model_same(id, other)) {
            rc = ib_fail(err, IB_E_MISMATCH, "%s: the pool has another pixel model already (%s), not %s",
                         path, ib_pixel_model_name(other).text, ib_pixel_model_name(id).text);
        }
    }
    rc = rc || there ? rc : copy_file(file, path, err);
    free(path);
    return rc;
}
