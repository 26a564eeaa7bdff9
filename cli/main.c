#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/text.h"
#include "base/version.h"
#include "cli/private.h"
#include "latent/hdf5.h"
#include "nn/gemm.h"
#include "video_io/reader.h"
#include "video_io/versions.h"

const cli_command *const cli_commands[] = {&cli_encode, &cli_train,  &cli_train_judge, &cli_distil,
                                           &cli_pool,   &cli_render, &cli_retime,      &cli_modality_gap,
                                           &cli_eval,   &cli_merge,  &cli_info,        NULL};

const cli_command *cli_command_find(const char *name) {
    for (size_t i = 0; cli_commands[i]; i++) {
        if (!strcmp(cli_commands[i]->name, name)) {
            return cli_commands[i];
        }
    }
    return NULL;
}

static int unknown_command(const char *word) {
    const char *names[32] = {"help", "--help", "--version"};
    size_t n = 3;
    for (size_t i = 0; cli_commands[i] && n < 32; i++) {
        names[n++] = cli_commands[i]->name;
    }
    const char *near = cli_nearest(word, names, n);
    fprintf(stderr, "inbetween: there is no %s '", word[0] == '-' ? "option" : "command");
    ib_text_put(stderr, word, strlen(word));
    fputc('\'', stderr);
    if (near) {
        fprintf(stderr, "; did you mean '%s'?", near);
    }
    fputs("\n'inbetween --help' lists the commands.\n", stderr);
    return CLI_USAGE;
}

static int help(const char *name) {
    const cli_command *m = name ? cli_command_find(name) : NULL;
    if (name && !m) {
        return unknown_command(name);
    }
    if (m) {
        cli_help_command(stdout, m);
    } else {
        cli_help_all(stdout);
    }
    return CLI_DONE;
}

static int run_command(const cli_command *m, int argc, char **argv) {
    cli c = {0};
    ib_error err = {0};
    cli_bar_begin(&c.bar);
    int status = cli_parse(&c, m, argc, argv);
    if (status == 0 && cli_flag(&c, "help")) {
        cli_help_command(stdout, m);
    } else if (status == 0) {
        cli_interrupt_begin();
        c.threads = cli_threads_begin(c.threads);
        status = ib_gemm_reserve(c.threads, &err) ? cli_fail(&c, &err) : m->run(&c);
        cli_progress_end(&c);
    }
    cli_release(&c);
    return status;
}

static int version(void) {
    char hdf5[32];
    ib_hdf5_version(hdf5);
    printf("inbetween %s\nFFmpeg %s\n%s\nHDF5 %s\njansson %s\n", ib_version(), ib_ffmpeg_version(),
           ib_gemm_library(), hdf5, JANSSON_VERSION);
    return CLI_DONE;
}

static int dispatch(int argc, char **argv) {
    const char *word = argc > 1 ? argv[1] : NULL;
    if (!word) {
        cli_help_all(stderr);
        return CLI_USAGE;
    }
    if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) {
        return help(argc > 2 ? argv[2] : NULL);
    }
    if (!strcmp(word, "--version")) {
        return version();
    }
    if (!strcmp(word, "--man")) {
        cli_man(stdout);
        return CLI_DONE;
    }
    if (!strcmp(word, "--completion") && argc > 2 && cli_completion(stdout, argv[2])) {
        return CLI_DONE;
    }
    const cli_command *m = cli_command_find(word);
    return m ? run_command(m, argc - 2, argv + 2) : unknown_command(word);
}

/* Begins again with the kernels that OpenBLAS should have chosen, unless someone has said which; if that
 * cannot be, it goes on with those that there are. */
static void right_kernels(char **argv) {
    const char *core = getenv("OPENBLAS_CORETYPE") ? NULL : ib_gemm_better_core();
    if (core && !setenv("OPENBLAS_CORETYPE", core, 1)) {
        execv("/proc/self/exe", argv);
    }
}

/* A file that is opened must not get the number of a stream that is closed: what is printed would go into it.
 * Such a stream is opened the wrong way round, so that using it fails as before. */
static void hold_streams(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0) {
            return;
        }
    }
}

int main(int argc, char **argv) {
    hold_streams();
    right_kernels(argv);
    /* a file that outgrows its limit (ulimit -f) is then an error of writing, and is cleaned up after */
    signal(SIGXFSZ, SIG_IGN);
    ib_ffmpeg_quiet();
    int status = dispatch(argc, argv);
    /* a result that did not arrive is a failure: "> /dev/full" */
    if ((fflush(stdout) || ferror(stdout)) && status == CLI_DONE) {
        fprintf(stderr, "inbetween: cannot write to standard output: %s\n", strerror(errno));
        status = CLI_FAILED;
    }
    return status;
}
