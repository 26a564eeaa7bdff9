/* The part of 'inbetween render' that makes pictures with the user's diffusion model. */
#ifndef IB_CLI_RENDER_DIFFUSED_H
#define IB_CLI_RENDER_DIFFUSED_H

#include "cli/cli.h"
#include "render/diffused.h"
#include "render/movie.h"

/* Lines of the table of options. */
#define CLI_DIFFUSED_OPTIONS                                                                                 \
    {.heading = "With a diffusion model",                                                                    \
     .name = "renderer",                                                                                     \
     .kind = CLI_TEXT,                                                                                       \
     .value = "PATH",                                                                                        \
     .help = "make the pictures with this image diffusion model: its folder as diffusers saves it, or its "  \
             "safetensors file"},                                                                            \
        {.name = "ip-adapter",                                                                               \
         .kind = CLI_TEXT,                                                                                   \
         .value = "FILE",                                                                                    \
         .help = "IP-Adapter: lets a model of prompts see the image embeddings of --space clip:PATH"},       \
        {.name = "ip-scale",                                                                                 \
         .kind = CLI_REAL,                                                                                   \
         .value = "X",                                                                                       \
         .min = 0,                                                                                           \
         .max = 2,                                                                                           \
         .initial = "1",                                                                                     \
         .help = "how much it sees of them"},                                                                \
        {.name = "lora",                                                                                     \
         .kind = CLI_LIST,                                                                                   \
         .value = "FILE[:WEIGHT]",                                                                           \
         .help = "add a LoRA to the model; may be given several times"},                                     \
        {.name = "condition",                                                                                \
         .kind = CLI_TEXT,                                                                                   \
         .value = "WHAT",                                                                                    \
         .help = "what leads the frames: prompt, image (embeddings), or both (default: what there is)"},     \
        {.name = "prompt",                                                                                   \
         .kind = CLI_TEXT,                                                                                   \
         .value = "TEXT",                                                                                    \
         .help = "for all frames; without it keyframes that are prompts lead from one to the next"},         \
        {.name = "negative-prompt",                                                                          \
         .kind = CLI_TEXT,                                                                                   \
         .value = "TEXT",                                                                                    \
         .help = "what frames are led away from"},                                                           \
        {.name = "steps",                                                                                    \
         .kind = CLI_INT,                                                                                    \
         .value = "N",                                                                                       \
         .min = 1,                                                                                           \
         .max = 1000,                                                                                        \
         .help = "of the sampler (default: by the sampler)"},                                                \
        {.name = "sampler",                                                                                  \
         .kind = CLI_TEXT,                                                                                   \
         .value = "NAME",                                                                                    \
         .help = "ddim, euler, dpm++, lcm or pndm (default: by the model)"},                                 \
        {.name = "prediction",                                                                               \
         .kind = CLI_TEXT,                                                                                   \
         .value = "WHAT",                                                                                    \
         .help = "what the model answers: epsilon or v_prediction (default: as its files say)"},             \
        {.name = "spacing",                                                                                  \
         .kind = CLI_TEXT,                                                                                   \
         .value = "WHICH",                                                                                   \
         .help = "of the sampler's steps: leading, trailing or linspace (default: as its files say)"},       \
        {.name = "guidance",                                                                                 \
         .kind = CLI_REAL,                                                                                   \
         .value = "X",                                                                                       \
         .min = 0,                                                                                           \
         .max = 100,                                                                                         \
         .help = "how strongly the condition is followed; 1 and less: no guidance, twice as fast (default: " \
                 "by the model)"},                                                                           \
        {.name = "seed",                                                                                     \
         .kind = CLI_INT,                                                                                    \
         .value = "N",                                                                                       \
         .min = 0,                                                                                           \
         .max = 9007199254740992.0,                                                                          \
         .initial = "0",                                                                                     \
         .help = "of the noise, which is that of torch's generator on the CPU"},                             \
        {.name = "seeds",                                                                                    \
         .kind = CLI_INT,                                                                                    \
         .value = "N",                                                                                       \
         .min = 1,                                                                                           \
         .max = IB_SEEDS_MOST,                                                                               \
         .initial = "1",                                                                                     \
         .help = "draw some frames with N seeds, --seed and those after it, and make the clip with the one " \
                 "whose pictures agree best with the embeddings that lead them, or best by --judge"},        \
        {.name = "noise",                                                                                    \
         .kind = CLI_TEXT,                                                                                   \
         .value = "HOW",                                                                                     \
         .initial = "shared",                                                                                \
         .help = "shared: one for all frames; inverted: between pictures the noise that leads back to "      \
                 "them, with the sampler ddim"},                                                             \
        {.name = "noise-level",                                                                              \
         .kind = CLI_TEXT,                                                                                   \
         .value = "N|none",                                                                                  \
         .help = "of a Stable unCLIP's embeddings, 0 to 999: the more, the freer the picture (default: 0)"}, \
        {.name = "strength",                                                                                 \
         .kind = CLI_REAL,                                                                                   \
         .value = "X",                                                                                       \
         .min = 0.001,                                                                                       \
         .max = 1,                                                                                           \
         .initial = "0.5",                                                                                   \
         .help = "how far the frame in the middle between two pictures goes from the pixel model's; 1: it "  \
                 "starts from noise alone"},                                                                 \
        {.name = "diffuse-every",                                                                            \
         .kind = CLI_INT,                                                                                    \
         .value = "K",                                                                                       \
         .min = 1,                                                                                           \
         .max = 100000,                                                                                      \
         .initial = "4",                                                                                     \
         .help = "make every Kth frame with the model and those between with the pixel model"},              \
        {.name = "vae",                                                                                      \
         .kind = CLI_TEXT,                                                                                   \
         .value = "WHICH",                                                                                   \
         .help = "full: the model's own autoencoder; tiny: TAESD, if it is there; or a path (default: "      \
                 "full)"},                                                                                   \
        {.name = "direct",                                                                                   \
         .kind = CLI_FLAG,                                                                                   \
         .help = "keyframes that are prompts lead by themselves; without it they are drawn first and are "   \
                 "pictures from then on"},                                                                   \
    {                                                                                                        \
        .name = "draft", .kind = CLI_FLAG,                                                                   \
        .help = "fast: the tiny autoencoder where it is there, 8 steps (4 of an LCM), at most 256 px; what " \
                "is named stays"                                                                             \
    }

/* 0, or the status of wrong usage: an option above is there without --renderer. */
int cli_check_diffused(cli *c);
/* o: what the command line said, as for a clip. Returns the exit status. */
int cli_render_diffused(cli *c, const ib_movie_options *o);

#endif
