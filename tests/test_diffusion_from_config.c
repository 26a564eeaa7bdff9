/* A scheduler's file read for another sampler, beside diffusers' from_config;
 * tests/fixtures/diffusion/README.md. */
#include <sys/stat.h>
#include "base/json_file.h"
#include "check.h"
#include "diffusion/scheduler.h"

static char dir[] = "/tmp/ib_from_config_XXXXXX";

static const char *text_of(const json_t *j, const char *key, const char *otherwise) {
    const char *text = json_string_value(json_object_get(j, key));
    return text ? text : otherwise;
}

static int count(const json_t *j, const char *key, int otherwise) {
    const json_t *v = json_object_get(j, key);
    return json_is_integer(v) ? (int)json_integer_value(v) : json_is_boolean(v) ? json_is_true(v) : otherwise;
}

static void same(const char *got, const char *want) {
    if (strcmp(got, want) != 0) {
        printf("got %s, wanted %s\n", got, want);
    }
    CHECK(!strcmp(got, want));
}

/* A key that the class does not have says nothing: what we took is then as good as any. */
static void compare(const ib_scheduler_config *c, const json_t *want) {
    static const char *const betas[] = {"linear", "scaled_linear", "squaredcos_cap_v2"},
                             *const predictions[] = {"epsilon", "v_prediction", "sample"},
                             *const spacings[] = {"leading", "trailing", "linspace"};
    same(betas[c->betas], text_of(want, "beta_schedule", "?"));
    same(predictions[c->prediction], text_of(want, "prediction_type", predictions[c->prediction]));
    same(spacings[c->spacing], text_of(want, "timestep_spacing", spacings[c->spacing]));
    CHECK_NEAR(c->beta_start, json_number_value(json_object_get(want, "beta_start")), 1e-12);
    CHECK_NEAR(c->beta_end, json_number_value(json_object_get(want, "beta_end")), 1e-12);
    CHECK_INT(c->steps_offset, count(want, "steps_offset", (int)c->steps_offset));
    CHECK_INT(c->alpha_to_one, count(want, "set_alpha_to_one", c->alpha_to_one));
    CHECK_INT(c->clip_sample, count(want, "clip_sample", c->clip_sample));
    CHECK_INT(c->zero_snr, count(want, "rescale_betas_zero_snr", 0));
    CHECK_INT(c->karras, count(want, "use_karras_sigmas", c->karras));
    CHECK_INT(c->original_steps, count(want, "original_inference_steps", (int)c->original_steps));
}

static void test_file(const json_t *one) {
    char path[256];
    const char *word;
    json_t *want;
    snprintf(path, sizeof path, "%s/scheduler_config.json", dir);
    CHECK(json_dump_file(json_object_get(one, "file"), path, 0) == 0);
    json_object_foreach(json_object_get(one, "wanted"), word, want) {
        ib_scheduler_config c;
        ib_error err = {0};
        bool there, known;
        int before = check_failed;
        CHECK_OK(ib_scheduler_config_read(&c, dir, ib_sampler_by_name(word), &there, &known, &err), &err);
        CHECK(there);
        compare(&c, want);
        if (check_failed != before) {
            printf("    in %s for %s\n", text_of(json_object_get(one, "file"), "_class_name", "?"), word);
        }
    }
    remove(path);
}

int main(void) {
    json_t *all = NULL, *one;
    size_t i;
    ib_error err = {0};
    int rc = ib_json_load(&all, "tests/fixtures/diffusion/from_config.json", IB_JSON_SMALL_BYTES, &err);
    if (rc < 0 || !mkdtemp(dir)) {
        printf("%s\n", err.text);
        return 1;
    }
    CHECK(json_array_size(json_object_get(all, "files")) >= 10);
    json_array_foreach(json_object_get(all, "files"), i, one) {
        RUN(test_file(one));
    }
    json_decref(all);
    remove(dir);
    return check_report("diffusion_from_config");
}
