/* inbetween pool: who is in a pool, and what it has come to. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/json.h"
#include "base/output.h"
#include "base/safetensors.h"
#include "adapter/pixel_model.h"
#include "cli/cli.h"
#include "pool/guide.h"
#include "pool/survey.h"

static void describe_age(double s, char text[32]) {
    if (s < 120) {
        snprintf(text, 32, "%.0f s", s);
    } else if (s < 7200) {
        snprintf(text, 32, "%.0f min", s / 60);
    } else if (s < 2 * 86400) {
        snprintf(text, 32, "%.1f h", s / 3600);
    } else {
        snprintf(text, 32, "%.1f d", s / 86400);
    }
}

static void print_table(cli *c, const ib_survey *s) {
    printf("%-24s %8s %6s %10s %8s %8s %9s %6s\n", "worker", "age", "round", "samples", "fresh", "skill",
           "distance", "share");
    for (size_t i = 0; i < s->news.members; i++) {
        const ib_survey_row *r = &s->row[i];
        const ib_member *m = r->member;
        char age[32], skill[32] = "-", distance[32] = "-";
        describe_age(r->age_seconds, age);
        if (isfinite(m->skill)) {
            snprintf(skill, sizeof skill, "%+.4f", m->skill);
        }
        if (isfinite(r->distance)) {
            snprintf(distance, sizeof distance, "%.4f", r->distance);
        }
        printf("%-24s %8s %6" PRId64 " %10" PRId64 " %8" PRId64 " %8s %9s %5.1f%%%s%s\n",
               cli_shown(c, m->name), age, m->round, m->samples, m->fresh, skill, distance, 100 * r->share,
               r->late   ? "  too far behind"
               : *r->why ? "  "
                         : "",
               cli_shown(c, r->why));
    }
}

static void print_guide(cli *c, const ib_survey *s, const char *dir) {
    if (*s->guide) {
        printf("guides of %s", cli_shown(c, ib_pixel_model_name(s->guide).text));
        printf(s->guide_file ? ", which is %s/" IB_POOL_GUIDE "\n" : "\n", cli_shown(c, dir));
    }
}

static json_t *real_or_null(double v) {
    return isfinite(v) ? json_real(v) : json_null();
}

static int print_json(cli *c, const ib_survey *s, const char *dir) {
    json_t *j = json_object(), *members = json_array(), *remarks = json_array();
    json_object_set_new(j, "pool", ib_json_text(dir));
    json_object_set_new(j, "round", json_integer(s->round));
    for (size_t i = 0; i < s->news.members; i++) {
        const ib_survey_row *r = &s->row[i];
        const ib_member *m = r->member;
        json_t *o = json_object();
        json_object_set_new(o, "worker", ib_json_text(m->name));
        json_object_set_new(o, "age_seconds", json_real(r->age_seconds));
        json_object_set_new(o, "publication", json_integer(m->serial));
        json_object_set_new(o, "round", json_integer(m->round));
        json_object_set_new(o, "samples", json_integer(m->samples));
        json_object_set_new(o, "fresh_samples", json_integer(m->fresh));
        json_object_set_new(o, "skill", real_or_null(m->skill));
        json_object_set_new(o, "distance", real_or_null(r->distance));
        json_object_set_new(o, "share", json_real(r->share));
        json_object_set_new(o, "bytes", json_integer((json_int_t)m->bytes));
        json_object_set_new(o, "left_out", json_boolean(r->late || r->verdict > IB_VOICE_SHORTENED));
        json_object_set_new(o, "remark", ib_json_text(r->late ? "too far behind" : r->why));
        json_array_append_new(members, o);
    }
    json_object_set_new(j, "guide", *s->guide ? ib_json_text(s->guide) : json_null());
    json_object_set_new(j, "guide_file", json_boolean(s->guide_file));
    for (size_t i = 0; i < s->news.remarks; i++) {
        json_array_append_new(remarks, ib_json_text(s->news.remark[i]));
    }
    json_object_set_new(j, "members", members);
    json_object_set_new(j, "not_members", remarks);
    return cli_print_json(c, j, JSON_INDENT(2));
}

/* Puts the pixel adapter into the folder. */
static int share_guide(cli *c, const char *dir, const char *file, ib_error *err) {
    ib_adapter *a = NULL;
    int rc = ib_adapter_open(&a, file, err);
    if (!rc && !ib_adapter_renders(a)) {
        rc = ib_fail(err, IB_E_ARGUMENT, "%s: makes no pictures: expected an adapter of the patch space",
                     file);
    }
    ib_adapter_free(&a);
    rc = rc ? rc : ib_pool_guide_share(dir, file, err);
    if (!rc) {
        cli_status(c,
                   "%s/" IB_POOL_GUIDE
                   " is the pixel adapter of this pool: encode with --guide %s/" IB_POOL_GUIDE,
                   dir, dir);
    }
    return rc;
}

static bool is_adapter_name(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && !strcmp(dot, IB_POOL_SUFFIX);
}

static int run_pool(cli *c) {
    ib_survey s = {0};
    ib_error err = {0};
    const char *dir = cli_arg(c, 0), *output = cli_text(c, "output"), *guide = cli_text(c, "guide");
    int status = CLI_DONE, rc = output ? ib_output_check(output, &dir, 1, is_adapter_name, &err) : IB_OK;
    rc = rc || !output ? rc : ib_st_check_replace(output, &err);
    rc = rc || !guide ? rc : share_guide(c, dir, guide, &err);
    rc = rc ? rc : ib_pool_survey(&s, dir, cli_int(c, "pool-stale"), &err);
    for (size_t i = 0; i < s.news.remarks && !cli_json(c); i++) {
        cli_warn(c, "left out: %s", s.news.remark[i]);
    }
    if (!rc && cli_json(c)) {
        status = print_json(c, &s, dir);
    } else if (!rc && s.news.members) {
        if (!cli_quiet(c)) {
            print_table(c, &s);
            print_guide(c, &s, dir);
        }
    } else if (!rc) {
        cli_status(c, "nobody is in the pool %s", dir);
    }
    if (!rc && output) {
        rc = ib_pool_survey_save(&s, output, &err);
    }
    ib_pool_survey_free(&s);
    return rc ? cli_fail(c, &err) : status;
}

static const cli_option options[] = {{.name = "output",
                                      .letter = 'o',
                                      .kind = CLI_TEXT,
                                      .value = "ADAPTER",
                                      .help = "also write the average of the members as an adapter"},
                                     {.name = "guide",
                                      .kind = CLI_TEXT,
                                      .value = "ADAPTER",
                                      .help = "first put this pixel adapter, with which the members' guides "
                                              "were made, into DIR for those who join"},
                                     {.name = "pool-stale",
                                      .kind = CLI_INT,
                                      .value = "N",
                                      .min = 1,
                                      .max = 1e9,
                                      .initial = "8",
                                      .help = "ignore workers more than N rounds behind"},
                                     {0}};

const cli_command cli_pool = {
    .name = "pool",
    .arguments = "DIR",
    .summary = "show who trains together through a shared folder",
    .details =
        "DIR is the folder named by 'inbetween train --pool DIR'. For every worker the command shows how "
        "long ago it published, its round, the samples that it has learned from in all and since its last "
        "average, the skill on its own validation videos, the distance of its weights from the average "
        "(relative to the norm of the average), and its share in the average; then, if they have any, the "
        "pixel model of their guides.\n\nFiles that are damaged, "
        "foreign or of another model are named on stderr and left out, as the workers do.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_pool,
};
