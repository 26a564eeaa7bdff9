#include "latent/hdf5.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A file that could not be closed, its disk being full, would crash the library's own clean-up at exit. */
static void begin_hdf5(void) {
    H5dont_atexit();
}

/* Of the first call that failed since this thread took the lock. What is closed afterwards empties HDF5's own
 * stack. */
static _Thread_local char reason[256];

/* The walk goes from the outermost call inwards: the last entry is the cause. Of a failed system call HDF5
 * gives name, descriptor, time and addresses too: then the system's words alone. */
static herr_t keep_entry(unsigned n, const H5E_error2_t *e, void *ignored) {
    static const char system_says[] = "error message = '";
    const char *text = e->desc ? e->desc : "", *said = strstr(text, system_says);
    (void)n, (void)ignored;
    said = said ? said + sizeof system_says - 1 : text;
    snprintf(reason, sizeof reason, "%.*s", (int)(said == text ? strlen(text) : strcspn(said, "'")), said);
    return 0;
}

/* HDF5 calls it in place of printing, at the end of each call that fails. */
static herr_t keep(hid_t stack, void *ignored) {
    if (!*reason) {
        H5Ewalk2(stack, H5E_WALK_DOWNWARD, keep_entry, ignored);
    }
    return 0;
}

/* What this thread did with errors before it took the lock; under the lock. */
static unsigned second_kind;
static H5E_auto2_t handler;
static void *handler_data;

void ib_hdf5_lock(void) {
    static pthread_once_t begun = PTHREAD_ONCE_INIT;
    pthread_once(&begun, begin_hdf5);
    pthread_mutex_lock(&lock);
    *reason = 0;
    /* a handler of the first kind cannot be asked for or put back as one of the second */
    if (H5Eauto_is_v2(H5E_DEFAULT, &second_kind) < 0 || !second_kind ||
        H5Eget_auto2(H5E_DEFAULT, &handler, &handler_data) < 0) {
        second_kind = 0;
    }
    H5Eset_auto2(H5E_DEFAULT, keep, NULL); /* kept per thread */
}

void ib_hdf5_unlock(void) {
    if (second_kind) {
        H5Eset_auto2(H5E_DEFAULT, handler, handler_data);
    }
    pthread_mutex_unlock(&lock);
}

void ib_hdf5_version(char text[32]) {
    unsigned major = 0, minor = 0, release = 0;
    ib_hdf5_lock();
    H5get_libversion(&major, &minor, &release);
    ib_hdf5_unlock();
    snprintf(text, 32, "%u.%u.%u", major, minor, release);
}

int ib_hdf5_fail(ib_error *err, int code, const char *what, const char *path) {
    code = ib_fail(err, code, "%s %s: %s", what, path, *reason ? reason : "HDF5 gives no reason");
    *reason = 0;
    H5Eclear2(H5E_DEFAULT);
    return code;
}

hid_t ib_hdf5_creation(void) {
    hid_t p = H5Pcreate(H5P_FILE_CREATE);
    if (p >= 0 && (H5Pset_attr_phase_change(p, 64, 0) < 0 || H5Pset_obj_track_times(p, 0) < 0)) {
        H5Pclose(p);
        return H5I_INVALID_HID;
    }
    return p;
}

hid_t ib_hdf5_access(void) {
    hid_t p = H5Pcreate(H5P_FILE_ACCESS);
    if (p >= 0 && (H5Pset_libver_bounds(p, H5F_LIBVER_V110, H5F_LIBVER_V110) < 0 ||
                   H5Pset_fclose_degree(p, H5F_CLOSE_STRONG) < 0)) {
        H5Pclose(p);
        return H5I_INVALID_HID;
    }
    return p;
}

/* HDF5's own switch, for file systems that cannot lock. */
static bool uses_locks(void) {
    const char *set = getenv("HDF5_USE_FILE_LOCKING");
    return !set || (strcmp(set, "FALSE") && strcmp(set, "0"));
}

int ib_hdf5_check_lock(const char *path, ib_error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool locked = fd >= 0 && uses_locks() && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    if (fd >= 0) {
        close(fd);
    }
    return locked
               ? ib_fail(err, IB_E_IO,
                         "%s: cannot be opened: it is locked: another program has it open for writing", path)
               : IB_OK;
}

int ib_hdf5_check(const char *path, ib_error *err) {
    static const uint8_t magic[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    uint8_t b[48] = {0};
    struct stat st;
    int code = ib_hdf5_check_lock(path, err), fd;
    if (code) {
        return code;
    }
    if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0) {
        return ib_fail(err, IB_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    }
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return ib_fail(err, IB_E_IO, "%s: cannot be read: not a regular file", path);
    }
    ssize_t n = pread(fd, b, sizeof b, 0);
    int e = errno;
    close(fd);
    if (n < 0) {
        return ib_fail(err, IB_E_IO, "%s: cannot be read: %s", path, strerror(e));
    }
    if (n < (ssize_t)sizeof b || memcmp(b, magic, sizeof magic)) {
        return ib_fail(err, IB_E_FORMAT, "%s: not an HDF5 file", path);
    }
    if (b[8] < 2 || b[8] > 3 || b[9] != 8 || b[10] != 8) {
        return ib_fail(err, IB_E_FORMAT,
                       "%s: an HDF5 file of another kind: superblock version %d, expected 2 or 3", path,
                       b[8]);
    }
    uint64_t base = 0, end = 0;
    for (int i = 7; i >= 0; i--) {
        base = base << 8 | b[12 + i];
        end = end << 8 | b[28 + i];
    }
    if (base || end != (uint64_t)st.st_size) {
        return ib_fail(err, IB_E_FORMAT, "%s: damaged or cut short: %lld bytes, expected %llu", path,
                       (long long)st.st_size, (unsigned long long)end);
    }
    return IB_OK;
}

hid_t ib_hdf5_half(void) {
    hid_t t = H5Tcopy(H5T_IEEE_F32LE);
    /* fields first: they must lie within the size at every moment */
    if (t >= 0 &&
        (H5Tset_fields(t, 15, 10, 5, 0, 10) < 0 || H5Tset_size(t, 2) < 0 || H5Tset_ebias(t, 15) < 0)) {
        H5Tclose(t);
        return H5I_INVALID_HID;
    }
    return t;
}

static int put_hdf5(hid_t object, const char *name, hid_t stored, hid_t memory, const void *value) {
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t a = space < 0 ? -1 : H5Acreate2(object, name, stored, space, H5P_DEFAULT, H5P_DEFAULT);
    int r = a >= 0 && H5Awrite(a, memory, value) >= 0 ? 0 : -1;
    if (a >= 0 && H5Aclose(a) < 0) {
        r = -1;
    }
    if (space >= 0) {
        H5Sclose(space);
    }
    return r;
}

static hid_t text_type(size_t size) {
    hid_t t = H5Tcopy(H5T_C_S1);
    if (t >= 0 && (H5Tset_size(t, size) < 0 || H5Tset_cset(t, H5T_CSET_UTF8) < 0 ||
                   H5Tset_strpad(t, H5T_STR_NULLPAD) < 0)) {
        H5Tclose(t);
        return H5I_INVALID_HID;
    }
    return t;
}

int ib_hdf5_put_text(hid_t object, const char *name, const char *text) {
    hid_t t = text_type(*text ? strlen(text) : 1);
    int r = t < 0 ? -1 : put_hdf5(object, name, t, t, text);
    if (t >= 0) {
        H5Tclose(t);
    }
    return r;
}

int ib_hdf5_put_int(hid_t object, const char *name, int64_t value) {
    return put_hdf5(object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

int ib_hdf5_put_real(hid_t object, const char *name, double value) {
    return put_hdf5(object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

/* An open scalar attribute and its type, or an error. */
static int open_attribute(hid_t object, const char *path, const char *name, H5T_class_t want,
                          const char *kind, hid_t *a, hid_t *type, ib_error *err) {
    *a = *type = -1;
    if (H5Aexists(object, name) <= 0 || (*a = H5Aopen(object, name, H5P_DEFAULT)) < 0 ||
        (*type = H5Aget_type(*a)) < 0) {
        return ib_fail(err, IB_E_FORMAT, "%s: attribute '%s' is missing or damaged", path, name);
    }
    hid_t space = H5Aget_space(*a);
    bool scalar = space >= 0 && H5Sget_simple_extent_type(space) == H5S_SCALAR;
    if (space >= 0) {
        H5Sclose(space);
    }
    if (!scalar || H5Tget_class(*type) != want || (want == H5T_STRING && H5Tis_variable_str(*type) != 0)) {
        return ib_fail(err, IB_E_FORMAT, "%s: attribute '%s' is not %s", path, name, kind);
    }
    return IB_OK;
}

static void close_attribute(hid_t a, hid_t type) {
    if (type >= 0) {
        H5Tclose(type);
    }
    if (a >= 0) {
        H5Aclose(a);
    }
    H5Eclear2(H5E_DEFAULT);
}

int ib_hdf5_get_text(hid_t object, const char *path, const char *name, char *text, size_t size,
                     ib_error *err) {
    hid_t a, type;
    int code = open_attribute(object, path, name, H5T_STRING, "a fixed-length string", &a, &type, err);
    if (!code && H5Tget_size(type) >= size) {
        code = ib_fail(err, IB_E_FORMAT, "%s: attribute '%s' is longer than %zu bytes", path, name, size - 1);
    }
    if (!code) {
        memset(text, 0, size);
        if (H5Aread(a, type, text) < 0) {
            code = ib_fail(err, IB_E_FORMAT, "%s: attribute '%s' cannot be read", path, name);
        }
        text[size - 1] = 0;
    }
    close_attribute(a, type);
    return code;
}

int ib_hdf5_get_int(hid_t object, const char *path, const char *name, int64_t min, int64_t max,
                    int64_t *value, ib_error *err) {
    hid_t a, type;
    int64_t v = 0;
    int code = open_attribute(object, path, name, H5T_INTEGER, "a whole number", &a, &type, err);
    if (!code && H5Aread(a, H5T_NATIVE_INT64, &v) < 0) {
        code = ib_fail(err, IB_E_FORMAT, "%s: attribute '%s' cannot be read", path, name);
    }
    if (!code && (v < min || v > max)) {
        code = ib_fail(err, IB_E_FORMAT, "%s: attribute '%s' is %lld, expected %lld..%lld", path, name,
                       (long long)v, (long long)min, (long long)max);
    }
    if (!code) {
        *value = v;
    }
    close_attribute(a, type);
    return code;
}

int ib_hdf5_get_real(hid_t object, const char *path, const char *name, double *value, ib_error *err) {
    hid_t a, type;
    double v = 0;
    int code = open_attribute(object, path, name, H5T_FLOAT, "a number", &a, &type, err);
    if (!code && (H5Aread(a, H5T_NATIVE_DOUBLE, &v) < 0 || !isfinite(v))) {
        code = ib_fail(err, IB_E_FORMAT, "%s: attribute '%s' cannot be read or is not finite", path, name);
    }
    if (!code) {
        *value = v;
    }
    close_attribute(a, type);
    return code;
}
