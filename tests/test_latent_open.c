/* A latent file whose size cannot be asked for: said as that, and not as a lack of memory. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "latent/latent_file.h"
#include "tests/check.h"
#include "tests/clips.h"
#include "tests/moving.h"

static int refuse_after = -1; /* this many calls; -1: never */

/* In place of the C library's. */
int stat(const char *restrict path, struct stat *restrict st) {
    if (refuse_after == 0) {
        errno = EACCES;
        return -1;
    }
    refuse_after -= refuse_after > 0;
    return fstatat(AT_FDCWD, path, st, 0);
}

int main(void) {
    ib_error err = {0};
    ib_latent_file *f = NULL;
    int refused = 0;
    if (!make_scratch("latent_open")) {
        return check_skip("test_latent_open", "no scratch directory");
    }
    const char *path = in_scratch("a.h5");
    CHECK_OK(moving_write(path, &(moving){2, 2, 3, 1, 1, NULL, false, "v", NULL}, &err), &err);
    for (int k = 0; k < 8; k++) {
        refuse_after = k;
        err = (ib_error){0};
        int rc = ib_latent_open(&f, path, &err);
        refuse_after = -1;
        if (!rc) {
            ib_latent_close(&f);
            break;
        }
        printf("stat refused after %d calls: %d, %s\n", k, rc, err.text);
        CHECK_ERROR(rc, &err, IB_E_IO, "Permission denied");
        CHECK(!f && strstr(err.text, path));
        refused++;
    }
    CHECK(refused > 0);
    remove_scratch();
    return check_report("test_latent_open");
}
