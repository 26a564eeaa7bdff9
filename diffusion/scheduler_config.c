#include <string.h>
#include "diffusion/config.h"
#include "diffusion/scheduler.h"

typedef struct known {
    const char *word, *class;
} known;

static const known KNOWN[IB_SAMPLERS] = {
    [IB_SAMPLER_DDIM] = {"ddim", "DDIMScheduler"},
    [IB_SAMPLER_DDIM_INVERSE] = {"ddim-inverse", "DDIMInverseScheduler"},
    [IB_SAMPLER_DDPM] = {"ddpm", "DDPMScheduler"},
    [IB_SAMPLER_PNDM] = {"pndm", "PNDMScheduler"},
    [IB_SAMPLER_EULER] = {"euler", "EulerDiscreteScheduler"},
    [IB_SAMPLER_EULER_A] = {"euler-a", "EulerAncestralDiscreteScheduler"},
    [IB_SAMPLER_DPMPP] = {"dpm++", "DPMSolverMultistepScheduler"},
    [IB_SAMPLER_LCM] = {"lcm", "LCMScheduler"},
};

int ib_sampler_by_name(const char *name) {
    for (int i = 0; i < IB_SAMPLERS; i++) {
        if (!strcmp(KNOWN[i].word, name) && i != IB_SAMPLER_DDIM_INVERSE) {
            return i;
        }
    }
    return -1;
}

const char *ib_sampler_name(ib_sampler s) {
    return KNOWN[s].word;
}

void ib_scheduler_defaults(ib_scheduler_config *c, ib_sampler sampler) {
    *c = (ib_scheduler_config){.sampler = sampler,
                               .betas = IB_BETAS_SCALED_LINEAR,
                               .beta_start = 0.00085,
                               .beta_end = 0.012,
                               .steps_offset = 1,
                               .clip_range = 1,
                               .original_steps = 50,
                               .time_scale = 10};
    if (sampler == IB_SAMPLER_EULER || sampler == IB_SAMPLER_EULER_A || sampler == IB_SAMPLER_DPMPP) {
        c->spacing = IB_SPACING_LINSPACE;
    }
}

/* What the classes have where the file leaves a key out. */
static void class_defaults(ib_scheduler_config *c, ib_sampler sampler) {
    ib_scheduler_defaults(c, sampler);
    bool lcm = sampler == IB_SAMPLER_LCM;
    c->betas = lcm ? IB_BETAS_SCALED_LINEAR : IB_BETAS_LINEAR;
    c->beta_start = lcm ? 0.00085 : 0.0001;
    c->beta_end = lcm ? 0.012 : 0.02;
    c->steps_offset = 0;
    c->alpha_to_one = sampler != IB_SAMPLER_PNDM;
    c->clip_sample =
        sampler == IB_SAMPLER_DDIM || sampler == IB_SAMPLER_DDIM_INVERSE || sampler == IB_SAMPLER_DDPM;
}

static int choose(const json_t *j, const char *key, const char *const *words, int n, int *v, const char *path,
                  ib_error *err) {
    const char *text = ib_config_text(j, key);
    for (int i = 0; text && i < n; i++) {
        if (!strcmp(words[i], text)) {
            *v = i;
            return 0;
        }
    }
    return text ? ib_fail(err, IB_E_UNSUPPORTED, "%s: \"%s\" is %.60s: this program does not have it", path,
                          key, text)
                : 0;
}

/* What training was: true for every sampler. */
static int read_training(ib_scheduler_config *c, const json_t *j, const char *path, ib_error *err) {
    static const char *const betas[] = {"linear", "scaled_linear", "squaredcos_cap_v2"},
                             *const predictions[] = {"epsilon", "v_prediction", "sample"};
    int b = (int)c->betas, p = (int)c->prediction, rc;
    size_t steps = IB_TRAIN_STEPS;
    if ((rc = choose(j, "beta_schedule", betas, 3, &b, path, err)) < 0 ||
        (rc = choose(j, "prediction_type", predictions, 3, &p, path, err)) < 0 ||
        (rc = ib_config_number(j, "beta_start", 0, 0.999, &c->beta_start, path, err)) < 0 ||
        (rc = ib_config_number(j, "beta_end", 1e-9, 0.999, &c->beta_end, path, err)) < 0 ||
        (rc = ib_config_count(j, "num_train_timesteps", 1, 1000000, &steps, path, err)) < 0 ||
        (rc = ib_config_bool(j, "rescale_betas_zero_snr", &c->zero_snr, path, err)) < 0 ||
        (rc = ib_config_count(j, "steps_offset", 0, IB_TRAIN_STEPS - 1, &c->steps_offset, path, err)) < 0 ||
        (rc = ib_config_bool(j, "set_alpha_to_one", &c->alpha_to_one, path, err)) < 0) {
        return rc;
    }
    c->betas = (ib_betas)b;
    c->prediction = (ib_prediction)p;
    const json_t *trained = json_object_get(j, "trained_betas");
    if (steps != IB_TRAIN_STEPS || (trained && !json_is_null(trained))) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "%s: trained with %zu steps%s: this program has models of %d steps", path, steps,
                       trained ? " and betas of its own" : "", IB_TRAIN_STEPS);
    }
    return 0;
}

static int read_own(ib_scheduler_config *c, const json_t *j, const char *path, ib_error *err) {
    static const char *const spacings[] = {"leading", "trailing", "linspace"};
    int spacing = (int)c->spacing, rc;
    if ((rc = choose(j, "timestep_spacing", spacings, 3, &spacing, path, err)) < 0 ||
        (rc = ib_config_bool(j, "use_karras_sigmas", &c->karras, path, err)) < 0 ||
        (rc = ib_config_bool(j, "clip_sample", &c->clip_sample, path, err)) < 0 ||
        (rc = ib_config_number(j, "clip_sample_range", 1e-6, 1e6, &c->clip_range, path, err)) < 0 ||
        (rc = ib_config_count(j, "original_inference_steps", 1, IB_TRAIN_STEPS, &c->original_steps, path,
                              err)) < 0 ||
        (rc = ib_config_number(j, "timestep_scaling", 1e-6, 1e6, &c->time_scale, path, err)) < 0) {
        return rc;
    }
    c->spacing = (ib_spacing)spacing;
    return 0;
}

/* Settings of a known class that would need other arithmetic. */
static bool is_ours(const json_t *j, ib_sampler s) {
    static const ib_config_only only[] = {{"thresholding", "false"},
                                          {"use_exponential_sigmas", "false"},
                                          {"use_beta_sigmas", "false"},
                                          {"use_lu_lambdas", "false"},
                                          {"use_flow_sigmas", "false"},
                                          {"timestep_type", "discrete"},
                                          {"interpolation_type", "linear"},
                                          {"final_sigmas_type", "zero"},
                                          {"sigma_min", ""},
                                          {"sigma_max", ""},
                                          {"solver_order", "2"},
                                          {"solver_type", "midpoint"},
                                          {"algorithm_type", "dpmsolver++"},
                                          {"lower_order_final", "true"},
                                          {"euler_at_final", "false"}};
    ib_error ignored = {0};
    bool skip = true;
    if (s == IB_SAMPLER_PNDM && ib_config_bool(j, "skip_prk_steps", &skip, "", &ignored) == 0 && !skip) {
        return false;
    }
    return ib_config_check(j, only, sizeof only / sizeof *only, "", &ignored) == 0;
}

/* As diffusers' from_config does it: what the file says, and for what it does not say the defaults of the
 * class that is used, which need not be the file's. */
static int read(ib_scheduler_config *c, const json_t *j, int wanted, bool *known_class, const char *path,
                ib_error *err) {
    const char *class = ib_config_text(j, "_class_name");
    int own = -1;
    for (int i = 0; i < IB_SAMPLERS; i++) {
        own = class && !strcmp(class, KNOWN[i].class) ? i : own;
    }
    *known_class = own >= 0 && is_ours(j, (ib_sampler)own);
    int used = wanted >= 0 ? wanted : *known_class ? own : IB_SAMPLER_DDIM;
    class_defaults(c, (ib_sampler)used);
    int rc = read_training(c, j, path, err);
    c->zero_snr = c->zero_snr && used != IB_SAMPLER_PNDM; /* which has no such setting */
    return rc == 0 ? read_own(c, j, path, err) : rc;
}

int ib_scheduler_config_read(ib_scheduler_config *c, const char *dir, int wanted, bool *there,
                             bool *known_class, ib_error *err) {
    json_t *j = NULL;
    *known_class = true;
    ib_scheduler_defaults(c, wanted >= 0 ? (ib_sampler)wanted : IB_SAMPLER_PNDM);
    int rc = ib_config_load(&j, dir, "scheduler_config.json", err);
    *there = rc == 0 && j;
    if (*there) {
        rc = read(c, j, wanted, known_class, dir, err);
    }
    json_decref(j);
    return rc;
}
