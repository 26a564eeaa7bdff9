/* inbetween info: what a file is. Each kind fills an ordered JSON object, which is printed as it is or as
 * "name: value" lines. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "adapter/adapter.h"
#include "base/file.h"
#include "base/model_path.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/safetensors.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/info_clip.h"
#include "cli/info_made.h"
#include "cli/info_model.h"
#include "clip/weights.h"
#include "diffusion/model.h"
#include "latent/guides.h"
#include "train/state.h"
#include "video_io/comment.h"
#include "video_io/reader.h"

typedef struct request {
    bool check;   /* read all values */
    bool tensors; /* list them */
    const atomic_int *stop;
} request;

static void put_text(json_t *o, const char *name, const char *text) {
    json_object_set_new(o, name, ib_json_text(text));
}

static void put_int(json_t *o, const char *name, int64_t v) {
    json_object_set_new(o, name, json_integer(v));
}

static void put_real(json_t *o, const char *name, double v) {
    json_object_set_new(o, name, isfinite(v) ? json_real(v) : json_null());
}

static void put_size(json_t *o, const char *name, int64_t w, int64_t h) {
    char text[64];
    snprintf(text, sizeof text, "%" PRId64 " x %" PRId64, w, h);
    put_text(o, name, text);
}

/* What --check adds up. */
typedef struct values {
    double least, most, squares;
    size_t n, strange; /* strange: not finite */
} values;

static void look_at(values *v, double x) {
    if (!isfinite(x)) {
        v->strange++;
        return;
    }
    v->least = x < v->least || !v->n ? x : v->least;
    v->most = x > v->most || !v->n ? x : v->most;
    v->squares += x * x;
    v->n++;
}

static void look_info(values *v, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        look_at(v, x[i]);
    }
}

/* Where no value was looked at, nothing is said of their size. */
static void put_values(json_t *o, const values *v) {
    put_real(o, "least value", v->n ? v->least : NAN);
    put_real(o, "largest value", v->n ? v->most : NAN);
    put_real(o, "root mean square", v->n ? sqrt(v->squares / (double)v->n) : NAN);
    put_int(o, "values that are not finite", (int64_t)v->strange);
}

/* ---- latent files ---- */

static int check_latents(ib_latent_file *f, const request *r, json_t *o, ib_error *err) {
    const ib_latent_info *i = ib_latent_info_of(f);
    size_t n = i->shape.tokens * i->shape.width;
    values v = {0};
    float *z;
    int rc = ib_alloc_floats(&z, n, "the latent of a frame", err);
    for (size_t k = 0; !rc && k < i->frames; k++) {
        if (atomic_load(r->stop)) {
            rc = ib_fail(err, IB_E_INTERRUPTED, "interrupted");
        } else if (!(rc = ib_latent_read(f, k, 1, z, err))) {
            look_info(&v, z, n);
        }
    }
    if (!rc) {
        put_values(o, &v);
    }
    ib_free(z);
    return rc;
}

/* As the latents; with --check all of them are read. */
static int guides_info(ib_latent_file *f, const request *r, json_t *o, ib_error *err) {
    const ib_guide_table *t = ib_latent_guides(f);
    const ib_shape *s = &ib_latent_info_of(f)->shape;
    size_t n = IB_GUIDE_PICTURES * s->tokens * s->width;
    json_t *all = json_object(), *gaps = json_object();
    values v = {0};
    float *z = NULL;
    put_text(all, "pixel model", t->model);
    put_int(all, "guides", (int64_t)t->guides);
    put_int(all, "windows", (int64_t)t->windows);
    for (size_t i = 0, of; i < t->windows; i += of) {
        const ib_guide_window *first;
        char gap[32];
        of = ib_guide_windows(t, t->window[i].gap, &first);
        snprintf(gap, sizeof gap, "%d", t->window[i].gap);
        put_int(gaps, gap, (int64_t)of);
    }
    json_object_set_new(all, "windows by gap", gaps);
    json_object_set_new(o, "guides", all);
    int rc = r->check ? ib_alloc_floats(&z, n, "a guide", err) : IB_OK;
    for (size_t k = 0; !rc && r->check && k < t->guides; k++) {
        if (atomic_load(r->stop)) {
            rc = ib_fail(err, IB_E_INTERRUPTED, "interrupted");
        } else if (!(rc = ib_latent_read_guides(f, k, 1, z, err))) {
            look_info(&v, z, n);
        }
    }
    if (!rc && r->check) {
        put_values(all, &v);
    }
    ib_free(z);
    return rc;
}

static int latent_info(const char *path, const request *r, json_t *o, ib_error *err) {
    ib_latent_file *f;
    int rc = ib_latent_open(&f, path, err);
    if (rc) {
        return rc;
    }
    const ib_latent_info *i = ib_latent_info_of(f);
    const double *pts = ib_latent_pts(f);
    int64_t shots = 0;
    for (size_t k = 0; k < i->frames; k++) {
        shots += ib_latent_cuts(f)[k];
    }
    put_text(o, "kind", "latent file");
    put_text(o, "space", i->space_id);
    put_int(o, "frames", (int64_t)i->frames);
    put_int(o, "shots", shots);
    put_real(o, "seconds", pts[i->frames - 1] - pts[0] + 1 / i->fps);
    put_real(o, "frames per second", i->fps);
    put_int(o, "every", i->every);
    put_size(o, "frame size", i->frame_width, i->frame_height);
    put_text(o, "fit", i->fit == IB_FIT_SQUASH ? "squash" : "crop");
    put_text(o, "layout", ib_layout_name(i->shape.layout));
    put_int(o, "tokens", (int64_t)i->shape.tokens);
    if (i->shape.layout == IB_LAYOUT_GRID) {
        put_int(o, "rows", i->shape.rows);
        put_int(o, "cols", i->shape.cols);
    }
    put_int(o, "width", (int64_t)i->shape.width);
    put_text(o, "source", i->source);
    put_text(o, "source sha256", i->source_sha256);
    if (r->check) {
        rc = check_latents(f, r, o, err);
    }
    if (!rc && ib_latent_guides(f)) {
        rc = guides_info(f, r, o, err);
    }
    ib_latent_close(&f);
    return rc;
}

/* ---- training states ---- */

static int state_info(const char *path, const request *r, json_t *o, ib_error *err) {
    ib_state s;
    (void)r; /* loading it has checked everything */
    int rc = ib_state_load(&s, path, err);
    if (rc) {
        return rc;
    }
    put_text(o, "kind", "training state");
    put_text(o, "space", s.config.space_id);
    if (*s.config.guide) {
        put_text(o, "pixel model of guides", s.config.guide);
    }
    put_text(o, "preset", s.plan.preset);
    put_text(o, "optimiser", s.plan.optimiser);
    put_int(o, "step", s.step);
    if (s.steps_total) {
        put_int(o, "steps in all", s.steps_total);
    }
    if (s.minutes_total > 0) {
        put_real(o, "minutes in all", s.minutes_total);
    }
    put_int(o, "samples", s.samples);
    put_real(o, "seconds", s.seconds);
    put_int(o, "batch", s.plan.batch);
    put_real(o, "learning rate", s.plan.rate);
    put_int(o, "least gap", s.plan.gap_min);
    put_int(o, "largest gap", s.plan.gap_max);
    put_int(o, "parameters", (int64_t)s.params);
    put_real(o, "loss", s.loss);
    if (s.valids) {
        put_real(o, "validation skill", s.valid[s.valids - 1].skill);
    }
    ib_state_free(&s);
    return IB_OK;
}

/* The first bytes of a file; none of a pipe, whose bytes can be read only once. */
static size_t read_head(const char *path, unsigned char *b, size_t bytes) {
    FILE *f = ib_is_file(path) ? fopen(path, "rbe") : NULL;
    size_t n = f ? fread(b, 1, bytes, f) : 0;
    if (f) {
        fclose(f);
    }
    return n;
}

static bool is_hdf5(const char *path) {
    unsigned char b[8] = {0};
    size_t n = read_head(path, b, sizeof b);
    return n == sizeof b && !memcmp(b, "\x89HDF\r\n\x1a\n", 8);
}

static int hdf5_info(const char *path, const request *r, json_t *o, ib_error *err) {
    bool sealed = !ib_seal_check(path, NULL), named = !strncmp(ib_basename(path), "state", 5);
    return sealed || named ? state_info(path, r, o, err) : latent_info(path, r, o, err);
}

/* ---- safetensors ---- */

static bool is_safetensors(const char *path) {
    unsigned char b[9] = {0};
    const char *dot = strrchr(ib_basename(path), '.');
    size_t n = read_head(path, b, sizeof b);
    return (dot && !strcmp(dot, ".safetensors")) ||
           (n == sizeof b && b[8] == '{' && !b[4] && !b[5] && !b[6] && !b[7]);
}

static void list_tensors(const ib_st *f, json_t *o) {
    json_t *all = json_object();
    for (size_t i = 0; i < ib_st_count(f); i++) {
        const ib_st_tensor *t = ib_st_at(f, i);
        char text[256];
        int n = snprintf(text, sizeof text, "%s [", ib_dtype_name(t->dtype));
        for (int k = 0; k < t->rank; k++) {
            n += snprintf(text + n, sizeof text - (size_t)n, "%s%" PRId64, k ? ", " : "", t->shape[k]);
        }
        snprintf(text + n, sizeof text - (size_t)n, "]");
        put_text(all, t->name, text);
    }
    json_object_set_new(o, "tensor list", all);
}

static int check_tensors(const ib_st *f, const request *r, json_t *o, ib_error *err) {
    values v = {0};
    for (size_t i = 0; i < ib_st_count(f); i++) {
        const ib_st_tensor *t = ib_st_at(f, i);
        float *x;
        int rc;
        if (atomic_load(r->stop)) {
            return ib_fail(err, IB_E_INTERRUPTED, "interrupted");
        }
        for (size_t k = 0; t->dtype == IB_F64 && k < t->elements; k++) {
            double wide;
            memcpy(&wide, (const char *)t->data + k * sizeof wide, sizeof wide);
            look_at(&v, wide);
        }
        if ((rc = ib_alloc_floats(&x, t->elements, t->name, err))) {
            return rc;
        }
        if (!ib_st_to_f32(t, x, NULL)) { /* whole numbers are not looked at */
            look_info(&v, x, t->elements);
        }
        ib_free(x);
    }
    put_values(o, &v);
    return IB_OK;
}

/* With the digits of a float, not of the double that it becomes. */
static void put_float(json_t *o, const char *name, float v) {
    char text[32];
    snprintf(text, sizeof text, "%.6g", (double)v);
    put_real(o, name, strtod(text, NULL));
}

/* What was fitted on validation, a row a gap. Without guides only the last one is applied. */
static void strengths_info(const ib_adapter_config *c, json_t *o) {
    const ib_strengths *s = &c->strengths;
    json_t *all = json_array();
    for (int i = 0; i < s->bins; i++) {
        json_t *row = json_object();
        put_float(row, "gap seconds", s->gap_seconds[i]);
        if (*c->guide) {
            put_float(row, "guide", s->value[IB_STRENGTH_GUIDE][i]);
            put_float(row, "guided", s->value[IB_STRENGTH_GUIDED][i]);
        }
        put_float(row, "alone", s->value[IB_STRENGTH_ALONE][i]);
        json_array_append_new(all, row);
    }
    json_object_set_new(o, "strengths", all);
}

static void adapter_info(const ib_adapter_config *c, json_t *o) {
    if (*c->guide) {
        put_text(o, "pixel model of guides", c->guide);
    }
    if (c->strengths.bins) {
        strengths_info(c, o);
    }
}

static int tensors_info(const char *path, const request *r, json_t *o, ib_error *err) {
    ib_st *f;
    int rc = ib_st_open(&f, path, err);
    if (rc) {
        return rc;
    }
    int64_t elements = 0, bytes[IB_F8_E5M2 + 1] = {0};
    char types[256] = "";
    for (size_t i = 0; i < ib_st_count(f); i++) {
        const ib_st_tensor *t = ib_st_at(f, i);
        elements += (int64_t)t->elements;
        bytes[t->dtype] += (int64_t)t->bytes;
    }
    for (int k = 0; k <= IB_F8_E5M2; k++) {
        if (bytes[k]) {
            size_t n = strlen(types);
            snprintf(types + n, sizeof types - n, "%s%s", n ? ", " : "", ib_dtype_name((ib_dtype)k));
        }
    }
    bool ours = ib_st_metadata(f, "inbetween.format") != NULL, clip = !ours && ib_clip_is_in(f);
    put_text(o, "kind",
             ours                                          ? "video adapter"
             : ib_st_metadata(f, "inbetween.embeddings")   ? "embeddings"
             : ib_st_metadata(f, "inbetween.modality_gap") ? "modality gap"
                                                           : "safetensors");
    put_int(o, "tensors", (int64_t)ib_st_count(f));
    put_int(o, ours ? "parameters" : "elements", elements);
    put_text(o, "types", types);
    json_t *meta = json_object();
    for (size_t i = 0; i < ib_st_metadata_count(f); i++) {
        const char *key, *value;
        ib_st_metadata_at(f, i, &key, &value);
        put_text(meta, key, value);
    }
    json_object_set_new(o, "metadata", meta);
    if (r->tensors) {
        list_tensors(f, o);
    }
    if (r->check) {
        rc = check_tensors(f, r, o, err);
    }
    ib_st_close(&f);
    if (!rc && ours) { /* is it whole, and of an architecture that this program knows? */
        ib_adapter *a = NULL;
        if (!(rc = ib_adapter_open(&a, path, err))) {
            adapter_info(ib_adapter_config_of(a), o);
        }
        ib_adapter_free(&a);
    }
    rc = rc || !clip ? rc : cli_info_clip(path, o, err);
    return rc || ours || !ib_model_is(path) ? rc : cli_info_model(path, o, err);
}

/* ---- videos and pictures ---- */

/* How a generator made it; any other comment as it is. */
static void put_comment(json_t *o, const char *path) {
    char *text = NULL;
    ib_error none = {0};
    if (!ib_comment_read(path, &text, &none) && text) {
        json_t *made = cli_info_made(text);
        json_object_set_new(o, made ? "made with" : "comment", made ? made : ib_json_text(text));
    }
    free(text);
}

static int media_info(const char *path, const request *r, json_t *o, ib_error *err) {
    ib_reader *reader;
    const ib_frame *frame;
    const char *what = NULL;
    int64_t frames = 0;
    int rc = ib_reader_open(&reader, path, &(ib_reader_options){.stop = r->stop}, err);
    if (rc) {
        return rc;
    }
    const ib_video_info *v = ib_reader_info(reader);
    put_text(o, "kind", v->still ? "picture" : "video");
    put_size(o, "frame size", v->width, v->height);
    if (v->aspect_width != v->aspect_height) {
        char aspect[32];
        snprintf(aspect, sizeof aspect, "%d:%d", v->aspect_width, v->aspect_height);
        put_size(o, "stored size", v->stored_width, v->stored_height);
        put_text(o, "sample aspect ratio", aspect);
    }
    put_text(o, "codec", v->codec);
    put_text(o, "pixel format", v->pixel_format);
    if (v->rotation_degrees) {
        put_int(o, "rotation undone", v->rotation_degrees);
    }
    if (*v->wide) {
        char range[64];
        bool hdr = strncmp(v->wide, "SDR", 3) != 0;
        snprintf(range, sizeof range, hdr ? "HDR (%s), read as SDR BT.709" : "SDR (%s), read as SDR BT.709",
                 hdr ? v->wide : v->wide + 5);
        put_text(o, "dynamic range", range);
    }
    if (v->interlaced) {
        put_text(o, "interlaced", "yes, deinterlaced when it is read");
    }
    if (!v->still) {
        put_real(o, "frames per second", v->fps);
        put_real(o, "seconds", v->duration_seconds);
        put_int(o, "frames by the container", v->frames_estimate);
    }
    if (r->check) {
        while ((rc = ib_reader_next(reader, &frame, err)) > 0) {
            frames++;
            if (atomic_load(r->stop)) {
                rc = ib_fail(err, IB_E_INTERRUPTED, "interrupted");
                break;
            }
        }
        put_int(o, "frames decoded", frames);
        put_int(o, "damaged parts", ib_reader_damaged(reader, &what));
        if (what && *what) {
            put_text(o, "first damage", what);
        }
    }
    ib_reader_close(&reader);
    put_comment(o, path);
    return rc;
}

/* ---- all of them ---- */

static const struct {
    bool (*is)(const char *path); /* NULL: the rest */
    int (*explain)(const char *path, const request *r, json_t *o, ib_error *err);
} kinds[] = {{is_hdf5, hdf5_info}, {is_safetensors, tensors_info}, {NULL, media_info}};

static int explain(const char *path, const request *r, json_t *o, ib_error *err) {
    struct stat st;
    size_t k = 0;
    put_text(o, "file", path);
    if (!stat(path, &st) && !S_ISDIR(st.st_mode)) {
        put_int(o, "bytes", st.st_size);
    }
    if (ib_is_dir(path)) {
        return cli_info_model(path, o, err);
    }
    bool stream = !stat(path, &st) && !S_ISREG(st.st_mode); /* can be read once, by the last kind */
    while (kinds[k].is && (stream || !kinds[k].is(path))) {
        k++;
    }
    return kinds[k].explain(path, r, o, err);
}

/* Longer values, such as a list of sources, are for programs. */
enum { MOST_SHOWN = 2000 };

/* Rows of numbers under the same names. */
static void print_rows(json_t *rows, int indent) {
    const char *key;
    json_t *row, *v;
    size_t i;
    printf("%*s", indent, "");
    json_object_foreach(json_array_get(rows, 0), key, v) {
        printf("%14s", key);
    }
    putchar('\n');
    json_array_foreach(rows, i, row) {
        printf("%*s", indent, "");
        json_object_foreach(row, key, v) {
            printf("%14.4g", json_number_value(v));
        }
        putchar('\n');
    }
}

static void print_text(json_t *o, int indent) {
    const char *key;
    json_t *v;
    json_object_foreach(o, key, v) {
        printf("%*s", indent, "");
        ib_text_put(stdout, key, strlen(key));
        fputs(": ", stdout);
        switch (json_typeof(v)) {
        case JSON_OBJECT:
            putchar('\n');
            print_text(v, indent + 4);
            break;
        case JSON_ARRAY:
            putchar('\n');
            print_rows(v, indent);
            break;
        case JSON_INTEGER:
            printf("%" JSON_INTEGER_FORMAT "\n", json_integer_value(v));
            break;
        case JSON_REAL:
            printf("%.6g\n", json_real_value(v));
            break;
        case JSON_STRING:
            if (json_string_length(v) > MOST_SHOWN) {
                printf("(%zu bytes; --json prints them)\n", json_string_length(v));
                break;
            }
            ib_text_put(stdout, json_string_value(v), json_string_length(v));
            putchar('\n');
            break;
        default:
            printf("-\n");
        }
    }
}

static bool accept_known(const char *name) {
    const char *dot = strrchr(name, '.');
    return (dot && (!strcmp(dot, ".h5") || !strcmp(dot, ".safetensors"))) || ib_is_video_name(name) ||
           ib_is_picture_name(name);
}

static int run_info(cli *c) {
    request r = {cli_flag(c, "check"), cli_flag(c, "tensors"), cli_stop(c)};
    ib_paths l = {0};
    ib_error err = {0};
    int status = CLI_DONE;
    for (size_t i = 0; i < cli_arg_count(c); i++) {
        char *path;
        int rc = ib_model_path(&path, cli_arg(c, i), NULL, &err);
        bool model = !rc && ib_is_dir(path) && ib_model_is(path);
        rc = rc ? rc : model ? ib_paths_add(&l, path, &err) : ib_paths_expand(&l, path, accept_known, &err);
        status = rc ? cli_fail(c, &err) : status;
        free(path);
    }
    json_t *all = json_array();
    for (size_t i = 0; i < l.n && !atomic_load(r.stop); i++) {
        json_t *o = json_object();
        int rc = explain(l.v[i], &r, o, &err);
        if (rc) {
            int s = cli_fail(c, &err);
            status = s > status ? s : status;
            put_text(o, "error", err.text);
        } else if (cli_prints_text(c)) {
            print_text(o, 0);
            putchar('\n');
        }
        json_array_append_new(all, o);
    }
    if (cli_json(c)) {
        int s = cli_print_json(c, all, JSON_INDENT(2));
        status = s > status ? s : status;
    } else {
        json_decref(all);
    }
    ib_paths_free(&l);
    return atomic_load(r.stop) ? CLI_INTERRUPTED : status;
}

static const cli_option options[] = {
    {.name = "check", .kind = CLI_FLAG, .help = "read the whole file and summarise its values"},
    {.name = "tensors", .kind = CLI_FLAG, .help = "list the tensors of safetensors files"},
    {0}};

const cli_command cli_info = {
    .name = "info",
    .arguments = "FILE...",
    .summary = "explain latent files, adapters, training states, CLIP and diffusion models, videos, pictures "
               "and any safetensors",
    .details =
        "A file is recognised by its content, not by its name. A directory that holds an image "
        "diffusion model is explained as one; another stands for the files in it that can be explained.",
    .options = options,
    .min_args = 1,
    .max_args = 1000000,
    .run = run_info,
};
