/* How commands that use adapters let them be used. */
#ifndef IB_CLI_ADAPTER_OPTIONS_H
#define IB_CLI_ADAPTER_OPTIONS_H

#include "adapter/adapter.h"
#include "cli/cli.h"

#define CLI_WORDS(x) #x
#define CLI_WORDS_OF(x) CLI_WORDS(x)

/* A line of a table of options; the library's default. */
#define CLI_TRUST                                                                                            \
    {                                                                                                        \
        .name = "trust", .kind = CLI_REAL, .value = "X", .min = 0, .max = 1,                                 \
        .help =                                                                                              \
            "how far to follow what an adapter learned; 1 if the videos are like those it was trained on "   \
            "(default: what its file says, " CLI_WORDS_OF(IB_ADAPTER_TRUST) " for new ones)"                 \
    }

#define CLI_SHARPNESS(by_default)                                                                            \
    {                                                                                                        \
        .name = "sharpness", .kind = CLI_REAL, .value = "X", .initial = by_default, .min = 0, .max = 1,      \
        .help = "0 is nearest to the truth on average and a little soft; 1 gives fine detail the contrast "  \
                "that it has in the keyframes"                                                               \
    }

#define CLI_GUIDE_SCALE                                                                                      \
    {                                                                                                        \
        .name = "guide-scale", .kind = CLI_REAL, .value = "W", .initial = "1", .min = 0,                     \
        .max = IB_GUIDE_SCALE_MOST,                                                                          \
        .help = "how far guides lead an adapter: 1 as it was trained, 0 not at all, above 1 further"         \
    }

/* What an --adapter option's value may be, and what the words mean, for its help. */
#define CLI_ADAPTER_VALUE "ADAPTER"
#define CLI_ADAPTER_WORDS                                                                                    \
    "a file; 'default', the one that comes with the program; 'prior', the untrained model; 'none', plain "   \
    "slerp (a file of such a name: ./none)"

/* The adapter that such a value names (adapter/named.h), NULL for none. word NULL, no option given: default.
 * If there is no default, prior takes its place, with a warning. */
const char *cli_adapter(cli *c, const char *word);
/* "default", or "prior" if there is none. */
const char *cli_default_adapter(void);
/* That warning, if there is no default. */
void cli_warn_of_prior(cli *c);

/* The option's value, or the library's way of saying that the file decides. */
static inline double cli_trust(const cli *c) {
    return cli_is_set(c, "trust") ? cli_real(c, "trust") : -1;
}

#endif
