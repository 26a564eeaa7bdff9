/* The inside of cli.h: for main.c, cli.c, options.c, help.c, progress.c and interrupt.c only. */
#ifndef IB_CLI_PRIVATE_H
#define IB_CLI_PRIVATE_H

#include <pthread.h>
#include <stdio.h>
#include "cli/cli.h"

#ifndef IB_VERSION
#define IB_VERSION "unknown"
#endif

/* What one option was given. `text` points into argv or into the option's table. */
typedef struct cli_value {
    bool set; /* by the user */
    long whole;
    double real;
    int width, height;
    const char *text;
    const char **list; /* owned array of borrowed strings */
    size_t n_list;
} cli_value;

typedef struct cli_bar {
    pthread_mutex_t lock; /* encoders report from several threads */
    bool terminal;
    bool drawn;     /* the cursor stands at the end of a bar */
    bool completed; /* fraction 1 has been reported */
    double last;    /* monotonic seconds of the last line or redraw; < 0: none yet */
} cli_bar;

struct cli {
    const cli_command *command;
    const cli_option *const *options; /* the command's and the common ones, ends with NULL */
    size_t n_options;
    cli_value *values; /* [n_options] */
    const char **args;
    size_t n_args;
    int threads;
    cli_bar bar;
    char **shown; /* [n_shown], owned: what cli_shown has given out; under the bar's lock */
    size_t n_shown;
};

enum { CLI_COMMON = 4 }; /* --threads, --json, --quiet, --help */
extern const cli_option cli_common[CLI_COMMON];

/* All subcommands in the order of help; ends with NULL. */
extern const cli_command *const cli_commands[];
/* NULL if there is none. */
const cli_command *cli_command_find(const char *name);

/* options.c: the words after the subcommand. Returns 0, or CLI_USAGE after saying why on stderr. The arrays
 * in c are owned by it from here on, also after a failure. */
int cli_parse(cli *c, const cli_command *command, int argc, char **argv);
void cli_release(cli *c);
/* The known word nearest to `word`, or NULL if none is near. */
const char *cli_nearest(const char *word, const char *const *known, size_t n);

/* help.c */
void cli_help_all(FILE *out);
void cli_help_command(FILE *out, const cli_command *command);
extern const char cli_purpose[], cli_conduct[];
/* "-o, --output DIR", with four blanks in place of a missing letter. */
void cli_option_head(const cli_option *o, char *text, size_t bytes);
/* What help says of it, with range and default. */
void cli_option_text(const cli_option *o, char *text, size_t bytes);
/* The command's own options, then the common ones. */
/* Calls heading (NULL: none is wanted) before the first option of each group, and before the common options
 * of a command that has groups. */
void cli_each_option(FILE *out, const cli_command *m, void (*heading)(FILE *, const char *),
                     void (*print)(FILE *, const cli_option *));

/* pages.c */
void cli_man(FILE *out);
/* shell: "bash", "zsh" or "fish"; false for another. */
bool cli_completion(FILE *out, const char *shell);
/* "a whole number from 2 to 100000", "a size WxH with sides from 16 to 16384", ... */
void cli_describe_kind(const cli_option *o, char *text, size_t bytes);

/* progress.c */
void cli_bar_begin(cli_bar *b);
/* Clears a drawn bar so that a line can be printed. The lock must be held. */
void cli_bar_clear(cli_bar *b);

/* interrupt.c */
void cli_interrupt_begin(void);

/* threads.c */
int cli_cores(void);

#endif
