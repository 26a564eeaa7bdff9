/* What the subcommands share: the table of options, parsing, status lines, progress, interruption. The cli is
 * the only room that prints, parses or exits. Results go to stdout, everything else to stderr. */
#ifndef IB_CLI_CLI_H
#define IB_CLI_CLI_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include "base/error.h"
#include "base/file.h"

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 130 };

typedef enum cli_kind {
    CLI_FLAG, /* no value */
    CLI_INT,  /* whole number in [min, max] */
    CLI_REAL, /* number in [min, max] */
    CLI_TEXT,
    CLI_SIZE, /* WxH, each side in [min, max] */
    CLI_LIST  /* text; may be given several times, and `several` takes all following non-option words */
} cli_kind;

typedef struct cli_option {
    const char *heading; /* begins a group in --help and the man page; NULL: the group goes on */
    const char *name;    /* without the dashes */
    char letter;         /* 0: none */
    cli_kind kind;
    const char *value;   /* how help calls the value: "N", "FILE" */
    double min, max;     /* for numbers and sizes */
    const char *initial; /* default as text; NULL: none */
    bool several;        /* CLI_LIST only: --valid A B C */
    const char *help;
} cli_option;

typedef struct cli cli;

typedef struct cli_command {
    const char *name, *arguments, *summary; /* "encode", "VIDEO... -o DIR", one line */
    const char *details;                    /* paragraphs for --help and the man page */
    const cli_option
        *options; /* ends with a NULL name; --help, --quiet, --json, --threads are added to all */
    size_t min_args, max_args; /* positional arguments */
    int (*run)(cli *c);        /* returns an exit status */
} cli_command;

/* One per subcommand, each in its own file cli/NAME.c; main.c lists them. */
extern const cli_command cli_encode, cli_train, cli_train_judge, cli_distil, cli_pool, cli_render, cli_retime,
    cli_modality_gap, cli_eval, cli_merge, cli_info;

size_t cli_arg_count(const cli *c);
const char *cli_arg(const cli *c, size_t i);
/* Options by name; asking for a name or kind that the command has not declared is a bug and aborts. */
bool cli_is_set(const cli *c, const char *name); /* given by the user */
bool cli_flag(const cli *c, const char *name);
long cli_int(const cli *c, const char *name);
double cli_real(const cli *c, const char *name);
const char *cli_text(const cli *c, const char *name); /* NULL if neither given nor default */
void cli_size(const cli *c, const char *name, int *width, int *height); /* 0, 0 if neither */
size_t cli_list(const cli *c, const char *name, const char *const **values);
/* Copies the positional arguments into one list and the values of the CLI_LIST option `name` into another. */
int cli_paths(const cli *c, ib_paths *arguments, const char *name, ib_paths *values, ib_error *err);
bool cli_quiet(const cli *c);
bool cli_json(const cli *c);
bool cli_prints_text(const cli *c); /* neither --json nor --quiet: the result is wanted in words */
/* >= 1: --threads or the number of cores this process may use, and no more than OpenMP gives it
 * (OMP_THREAD_LIMIT) */
int cli_threads(const cli *c);
/* Gives OpenMP this number of threads for the calling thread, or as many as its limit allows; returns how
 * many. A thread that the command itself starts begins with OpenMP's own default and calls this first. */
int cli_threads_begin(int threads);

/* Set by SIGINT, SIGTERM, SIGHUP and SIGUSR1; a second signal ends the process at once. */
const atomic_int *cli_stop(const cli *c);

/* A name or text from outside as people are shown it on stdout: control characters, what turns the
 * direction of writing and bytes that are not UTF-8 are escaped (ib_text_shown). The text itself where
 * there are none; else it lives as long as the cli. From any thread. What is said by the functions below
 * needs no such care: they escape the whole line, and a message is one line. */
const char *cli_shown(cli *c, const char *text);
/* The JSON of a command and a line feed on stdout; takes over j. Returns an exit status: CLI_FAILED, after
 * saying so, if j is NULL or memory is out. */
int cli_print_json(cli *c, json_t *j, size_t flags);

/* A line on stderr unless --quiet. */
__attribute__((format(printf, 2, 3))) void cli_status(cli *c, const char *fmt, ...);
/* "inbetween: warning: ..." on stderr, --quiet or not. */
__attribute__((format(printf, 2, 3))) void cli_warn(cli *c, const char *fmt, ...);
/* "inbetween: SENTENCE" on stderr; returns the exit status that fits err->code (IB_E_INTERRUPTED: 130, else
 * 1). */
int cli_fail(cli *c, const ib_error *err);
/* "inbetween NAME: SENTENCE" and a hint at --help; returns 2. */
__attribute__((format(printf, 2, 3))) int cli_usage(cli *c, const char *fmt, ...);
/* On a terminal a bar that is redrawn in place (at most 10 times a second), elsewhere a plain line at most
 * every 10 seconds and one at fraction 1. fraction in [0,1]; the text says rate and time left. */
__attribute__((format(printf, 3, 4))) void cli_progress(cli *c, double fraction, const char *fmt, ...);
/* Ends the line of the bar, so that what follows starts clean. */
void cli_progress_end(cli *c);

#endif
